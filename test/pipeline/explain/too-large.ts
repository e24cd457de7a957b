import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { explain } from '../../../pipeline/explain.ts'
import { createProgress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import { definitionIn, listOf, quick, warningsOf } from '../../support/explain.ts'
import { rawNifti } from '../../support/nifti.ts'

t.test('what never fits costs explain neither time nor memory', async t => {
  const dir = t.testdir({})
  // 0.5 TB of voxels that nobody wrote, and a grid of 6e9 voxels out of 2e4.
  const dataset = await listOf(dir, { good: {}, wide: { spacing: [700, 700, 900] } })
  for (const [name, datatype, bits] of [
    ['endless', 4, 16],
    ['endless-label', 2, 8],
  ] as const) {
    const dims = [8000, 8000, 8000]
    const spacing = { pixdims: [7, 7, 14], voxels: new Uint8Array(0) }
    writeFileSync(join(dir, `${name}.nii`), rawNifti({ version: 2, dims, datatype, bits, ...spacing }))
    truncateSync(join(dir, `${name}.nii`), 544 + (8000 ** 3 * bits) / 8)
  }
  const list = JSON.parse(readFileSync(join(dir, 'list.json'), 'utf8'))
  list.training.unshift({ image: 'endless.nii', label: 'endless-label.nii' })
  list.validation = list.training
  writeFileSync(join(dir, 'list.json'), JSON.stringify(list))
  const started = performance.now()
  const told = await explain(definitionIn(dir, { dataset, memory: '200MiB' }), quick)
  t.same(told.memory.tooLarge.map(({ case: id }) => id).slice(0, 2), ['endless', 'wide'])
  t.same(told.failures, [])
  t.ok(performance.now() - started < 20_000, 'within seconds')
  t.ok(told.time!.totalSeconds < 600, 'what fails takes no time')
  const ran = await run(definitionIn(dir, { dataset, memory: '200MiB' }), { progress: createProgress('none') })
  t.match(ran, { status: 'partial', cases: { ok: 1, failed: 2 } })
})

t.test('a label that takes long is not read to its end', async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, { good: { lesion: false, shape: [400, 400, 60] } })
  const told = await explain(definitionIn(dir, { dataset }), { budgets: { ...quick.budgets, labels: 0.001 } })
  t.equal(told.labels, null)
  t.notOk('no-lesion' in warningsOf(told))
})
