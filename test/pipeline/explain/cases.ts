import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { explain, type Explanation } from '../../../pipeline/explain.ts'
import { explanationLines } from '../../../pipeline/explain/lines.ts'
import { createProgress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import { definitionIn, listOf, quick, training } from '../../support/explain.ts'
import { sharedPath } from '../../support/shared.ts'

const sorted = (failures: Explanation['failures']): string[] =>
  failures.map(({ case: id, code }) => `${id}: ${code}`).toSorted()

t.test('cases that will fail are listed with the reason that the run gives', async t => {
  const dir = t.testdir({ 'damaged.nii.gz': 'this is no image' })
  const dataset = await listOf(dir, { good: {}, far: { shift: 3 }, odd: { labelValue: 7 } })
  const list = JSON.parse(readFileSync(join(dir, 'list.json'), 'utf8'))
  list.training.push(
    { image: 'gone.nii.gz', label: 'good-label.nii.gz' },
    { image: 'damaged.nii.gz', label: 'good-label.nii.gz' },
  )
  writeFileSync(join(dir, 'list.json'), JSON.stringify(list))
  const definition = definitionIn(dir, { dataset })
  const told = await explain(definition, { ...quick, labels: true })
  const ran = await run(definition, { progress: createProgress('none') })
  t.same(sorted(told.failures), sorted(ran.failures))
  t.same(sorted(told.failures), ['damaged: ERR_FILE', 'far: ERR_GEOMETRY', 'gone: ERR_FILE', 'odd: ERR_LABEL'])
  const reasons = new Map(ran.failures.map(({ case: id, reason }) => [id, reason]))
  for (const { case: id, reason } of told.failures) t.equal(reason, reasons.get(id))
})

t.test('a data set of which nothing can be read is told as that', async t => {
  const dir = t.testdir({ 'list.json': JSON.stringify({ training: [{ image: 'a.nii.gz', label: 'b.nii.gz' }] }) })
  const told = await explain(definitionIn(dir, { dataset: { list: 'list.json' } }), quick)
  t.match(told, { failures: [{ case: 'a', code: 'ERR_FILE' }], memory: { largest: null, tooLarge: [] }, labels: null })
  t.match(explanationLines(told).join('\n'), /training: 1 case, 1 of them will fail/)
})

t.test('volumes smaller than the crop fail, and are told beforehand', async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, { good: {}, small: { shape: [20, 40, 12] } })
  const stages = training.filter(({ kind }) => kind !== 'pad' && kind !== 'crop-foreground')
  const told = await explain(definitionIn(dir, { dataset, stages }), quick)
  t.match(told.failures, [
    { case: 'small', stage: 'crop', code: 'ERR_VOLUME', reason: /at least 32 x 32 x 8.*pad first/ },
  ])
})

const damaged = sharedPath('data', 'nifti-damaged')
const skip = damaged === undefined && 'the shared data are not here'

t.test('damaged files of every kind are told, and none stops it', { skip }, async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, { good: {} })
  const list = JSON.parse(readFileSync(join(dir, 'list.json'), 'utf8'))
  const files = readdirSync(damaged!).filter(name => /\.(nii|nii\.gz|hdr)$/.test(name))
  for (const name of files) {
    copyFileSync(join(damaged!, name), join(dir, name))
    list.training.push({ image: name, label: name })
  }
  writeFileSync(join(dir, 'list.json'), JSON.stringify(list))
  const told = await explain(definitionIn(dir, { dataset }), { ...quick, labels: true })
  t.equal(told.sections[0]!.cases, files.length + 1)
  t.ok(told.failures.length > 0)
  for (const { case: id, code, reason } of told.failures) {
    t.match(code, /^ERR_(FILE|VOLUME|GEOMETRY|LABEL|DATASET)$/)
    t.comment(`${id}: ${reason}`)
  }
  t.notOk(told.failures.some(({ case: id }) => id === 'good'))
})

t.test('thousands of cases are told from their headers alone', async t => {
  const dir = t.testdir({})
  await listOf(dir, { one: {}, two: { shape: [60, 44, 20] } })
  const entries = Array.from({ length: 1500 }, (_, i) => {
    const name = `copy-${i}`
    return { image: `${name}.nii.gz`, label: `${i % 2 ? 'two' : 'one'}-label.nii.gz` }
  })
  for (const [i, { image }] of entries.entries())
    copyFileSync(join(dir, `${i % 2 ? 'two' : 'one'}.nii.gz`), join(dir, image))
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ training: entries }))
  const seen: string[] = []
  const told = await explain(definitionIn(dir, { dataset: { list: 'list.json' } }), {
    ...quick,
    progress: text => void seen.push(text),
  })
  t.match(told.sections[0], { cases: 1500, failed: 0, files: { image: { least: [40, 40, 12], most: [60, 44, 20] } } })
  t.ok(seen.includes('headers: 1500 of 1500'))
})
