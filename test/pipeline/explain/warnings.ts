import t from 'tap'
import { explain } from '../../../pipeline/explain.ts'
import { definitionIn, listOf, quick, training, warningsOf } from '../../support/explain.ts'

t.test('what looks wrong is said, with the case and the number', async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, {
    usual: {},
    fine: { spacing: [1.5, 1.5, 3] },
    shifted: { shift: 0.05 },
    tiny: { spacing: [0.05, 0.05, 0.05], shape: [60, 60, 30] },
    healthy: { lesion: false },
  })
  const told = await explain(
    definitionIn(dir, {
      dataset,
      stages: training.map(stage => (stage.kind === 'resample' ? { ...stage, spacing: [0, 0, 0] } : stage)),
    }),
    { ...quick, labels: true },
  )
  t.same(told.failures, [])
  const warnings = warningsOf(told)
  t.match(warnings, {
    spacing: /along z goes from 0.05 mm \(tiny\) to 14 mm/,
    'odd-spacing': /5 cases|1 case|\d+ cases? with a spacing below 0.1 or above 10 mm/,
    geometry: /files of 1 case are more than 0.01 mm apart, at most 0.05 mm \(shifted\)/,
    'no-lesion': /1 of 5 labels looked at holds no lesion, such as healthy/,
  })
  t.same(told.labels, { looked: 5 })
})

t.test('a case that memory cannot hold is told with what it needs', async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, { good: {}, long: { shape: [200, 200, 60] } })
  const stages = training.filter(({ kind }) => kind !== 'resample')
  const told = await explain(definitionIn(dir, { dataset, stages, memory: '60MiB' }), quick)
  t.match(told.memory.tooLarge, [{ case: 'long' }])
  t.match(warningsOf(told)['memory'], /1 case will fail for want of memory: long needs [\d.]+ MiB/)
})
