import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeNifti } from '../../../imaging/nifti-write.ts'
import { validateDefinition } from '../../../pipeline/definition.ts'
import type { StageFigures } from '../../../pipeline/stage-meter.ts'
import { createProgress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import { gridOf } from '../../support/nifti.ts'

/** Evaluates the pairs, each a row of voxels 2 mm apart, with the options for `dice`. */
async function evaluate(dir: string, dice: object): ReturnType<typeof run> {
  const cases = pairs.map((_, i) => ({ image: `scans/${i}.nii.gz`, label: `labels/${i}.nii.gz` }))
  for (const [i, { prediction, reference }] of pairs.entries()) {
    const grid = gridOf([reference.length, 1, 1], [2, 1, 1])
    await writeNifti(join(dir, `labels/${i}.nii.gz`), { grid, voxels: Uint8Array.from(reference) })
    await writeNifti(join(dir, `masks/scans/${i}.nii.gz`), { grid, voxels: Uint8Array.from(prediction) })
  }
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ testing: cases }))
  const definition = {
    task: 'evaluate',
    dataset: { list: 'list.json', predictions: 'masks' },
    stages: [
      { kind: 'load', keys: ['prediction', 'label'] },
      { kind: 'dice', ...dice },
    ],
    output: 'out',
  }
  return run(validateDefinition(definition, dir), { progress: createProgress('none') })
}

/** A missed lesion, one found 2 mm off, and a healthy case. */
const pairs = [
  { prediction: [0, 0, 0], reference: [0, 1, 0] },
  { prediction: [1, 0, 0], reference: [0, 1, 0] },
  { prediction: [0, 0, 0], reference: [0, 0, 0] },
]

t.test('an infinite distance is in every file and on every line, never a silent null', async t => {
  const dir = t.testdir({})
  const result = await evaluate(dir, { emptyRule: 'monai' })
  t.match(result, { status: 'ok', cases: { ok: 3 } }, result.error ?? 'ran')
  const lines = readFileSync(join(dir, 'out/metrics.jsonl'), 'utf8').trim().split('\n')
  t.match(
    lines.map(line => JSON.parse(line)),
    [
      { hd: 'inf', hd95: null, assd: 'inf', nsd_1mm: 0, dice: 0 },
      { hd: 2, hd95: 2, assd: 2, nsd_3mm: 1 },
      { hd: null, hd95: null, assd: null, nsd_1mm: null, dice: null },
    ],
  )
  const summary = JSON.parse(readFileSync(join(dir, 'out/summary.json'), 'utf8'))
  t.same(summary.metrics.hd, {
    mean: 'inf',
    median: 'inf',
    min: 2,
    max: 'inf',
    sd: null,
    cases: 2,
    infinite: 1,
    undefined: 1,
  })
  t.match(summary.metrics.hd95, { mean: 2, cases: 1, infinite: 0, undefined: 2 })
  t.same(JSON.parse(JSON.stringify(result.metrics)), summary.metrics, 'what --json prints is what the file holds')
  const text = readFileSync(join(dir, 'out/summary.txt'), 'utf8')
  t.match(text, /^hd +mean inf {2}median inf {2}range 2.0000 to inf {2}\(2 cases, 1 infinite, 1 undefined\)$/m)
})

t.test('where the time went is in run.json, with a row for each stage, and in the summary', async t => {
  const dir = t.testdir({})
  const { lines } = await evaluate(dir, {})
  const { stages } = JSON.parse(readFileSync(join(dir, 'out/run.json'), 'utf8')) as { stages: StageFigures[] }
  t.match(stages, [
    // Two volumes of three voxels, float32, for each of three cases.
    { kind: 'load', itemsIn: 3, items: 3, bytes: 3 * 2 * 3 * 4, waitingForMemorySeconds: 0, passes: 1 },
    { kind: 'dice', itemsIn: 3, items: 3, bytes: 0, waitingForMemorySeconds: 0, passes: 1 },
  ])
  for (const { kind, busySeconds, waitingForInputSeconds } of stages) {
    t.ok(busySeconds > 0 && waitingForInputSeconds >= 0, `${kind} ${busySeconds} ${waitingForInputSeconds}`)
  }
  const said = lines.filter(line => line.startsWith('bottleneck: '))
  t.match(said, [/^bottleneck: (load|dice) \d+ % busy; .*waits for input \d+ %, for memory 0 %/])
  t.match(readFileSync(join(dir, 'out/summary.txt'), 'utf8'), said[0])
})

t.test('by the strict rule every case has a finite value', async t => {
  const dir = t.testdir({})
  const { metrics } = await evaluate(dir, { surface: { tolerancesMm: [1.5], percentile: 90 } })
  const diagonal = Math.hypot(6, 1, 1)
  t.match(metrics, {
    hd: { max: diagonal, min: 0, mean: (diagonal + 2) / 3, cases: 3, infinite: 0, undefined: 0 },
    hd90: { cases: 3 },
    'nsd_1.5mm': { mean: 1 / 3, cases: 3 },
  })
})

const comparing = (list: string): object => ({
  task: 'evaluate',
  dataset: { list, predictions: 'masks' },
  stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
  output: 'out',
})

t.test(
  'a mask that is not there counts as missed; without any the run is refused, as with no cases at all',
  async t => {
    const dir = t.testdir({})
    await evaluate(dir, {})
    rmSync(join(dir, 'masks/scans/1.nii.gz'))
    const result = await run(validateDefinition(comparing('list.json'), dir), { progress: createProgress('none') })
    t.match(result, { status: 'ok', exitCode: 0, cases: { ok: 3 }, metrics: { dice: { mean: 1 / 3, cases: 3 } } })
    rmSync(join(dir, 'masks/scans'), { recursive: true })
    const none = await run(validateDefinition(comparing('list.json'), dir), { progress: createProgress('none') })
    t.match(none, { status: 'refused', exitCode: 2, error: /found not one of them/ })
    writeFileSync(join(dir, 'empty.json'), '{"testing": []}')
    const empty = await run(validateDefinition(comparing('empty.json'), dir), { progress: createProgress('none') })
    t.match(empty, { status: 'refused', exitCode: 2, error: /has no cases/ })
  },
)

t.test('a mask on another grid is its case alone, unless it may be regridded', async t => {
  const dir = t.testdir({})
  await evaluate(dir, {})
  const grid = gridOf([2, 1, 1], [2, 1, 1], [2, 0, 0])
  await writeNifti(join(dir, 'masks/scans/1.nii.gz'), { grid, voxels: Uint8Array.of(1, 0) })
  for (const regrid of [false, true]) {
    const definition = {
      task: 'evaluate',
      dataset: { list: 'list.json', predictions: 'masks' },
      stages: [
        { kind: 'load', keys: ['prediction', 'label'] },
        { kind: 'dice', regrid },
      ],
      output: 'out',
    }
    const result = await run(validateDefinition(definition, dir), { progress: createProgress('none') })
    if (regrid) t.match(result, { exitCode: 0, cases: { ok: 3 }, metrics: { dice: { mean: 2 / 3 } } })
    else t.match(result, { exitCode: 3, failures: [{ case: 'scans/1', reason: /mm apart.*"regrid": true/ }] })
  }
})
