import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { validateDefinition, type Definition } from '../../pipeline/definition.ts'
import { codeOf, messageOf } from '../../pipeline/errors.ts'
import { explain, validate, type Explanation } from '../../pipeline/explain.ts'
import { explanationLines, outlineLines } from '../../pipeline/explain/lines.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { gridOf } from '../support/nifti.ts'
import { sharedPath } from '../support/shared.ts'

const quick = { budgets: { engine: 0.05, cases: 0.05, labels: 0.2 } }
const network = { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] }
const phantoms = { training: 5, validation: 2, testing: 2, seed: 3, shape: [48, 40, 16] }
const prefix = [
  { kind: 'load' },
  { kind: 'map-label', classes: 2 },
  { kind: 'resample', spacing: [7, 7, 14] },
  { kind: 'clip' },
  { kind: 'crop-foreground' },
]
const training = [
  ...prefix,
  { kind: 'pad', size: [32, 32, 8] },
  { kind: 'cache' },
  { kind: 'crop', size: [32, 32, 8] },
  { kind: 'augment' },
  { kind: 'batch', size: 2 },
  { kind: 'train', epochs: 3, validate: { every: 1, window: [32, 32, 8], overlap: 0.25 } },
]

function definitionIn(dir: string, fields: object): Definition {
  const base = { task: 'train', seed: 5, memory: '1GiB', network, output: 'out', stages: training }
  const dataset = { phantoms: { ...phantoms, folder: 'phantoms' } }
  return validateDefinition({ ...base, dataset, ...fields }, dir)
}

interface Scan {
  readonly shape?: Shape3
  readonly spacing?: readonly number[]
  /** Of the label, mm. */
  readonly shift?: number
  readonly lesion?: boolean
  readonly labelValue?: number
}

/** A data list of made-up scans. */
async function listOf(dir: string, scans: Readonly<Record<string, Scan>>): Promise<{ list: string }> {
  const entries = []
  for (const [name, scan] of Object.entries(scans)) {
    const { shape = [40, 40, 12], spacing = [7, 7, 14], shift = 0, lesion = true, labelValue = 1 } = scan
    const n = shape[0] * shape[1] * shape[2]
    const image = new Int16Array(n).map((_, i) => (i % 700) - 600)
    const label = new Uint8Array(n)
    if (lesion) label.fill(labelValue, n >> 1, (n >> 1) + 40)
    await writeNifti(join(dir, `${name}.nii.gz`), { grid: gridOf(shape, spacing), voxels: image })
    await writeNifti(join(dir, `${name}-label.nii.gz`), { grid: gridOf(shape, spacing, [shift, 0, 0]), voxels: label })
    entries.push({ image: `${name}.nii.gz`, label: `${name}-label.nii.gz` })
  }
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ training: entries }))
  return { list: 'list.json' }
}

function warningsOf({ warnings }: Explanation): Record<string, string> {
  return Object.fromEntries(warnings.map(({ kind, message }) => [kind, message]))
}

t.test('a training: shapes, bytes, memory and time of every section', async t => {
  const dir = t.testdir({})
  const explanation = await explain(definitionIn(dir, {}), quick)
  t.match(explanation, { task: 'train', failures: [], engine: { classes: 2 } })
  t.same(
    explanation.sections.map(({ name, cases, failed }) => [name, cases, failed]),
    [
      ['training', 5, 0],
      ['validation', 2, 0],
      ['testing', 2, 0],
    ],
  )
  const [first, second] = explanation.sections
  t.same(first!.files.image!.most, [48, 40, 16])
  t.same(
    first!.stages.map(({ kind }) => kind),
    training.map(({ kind }) => kind),
  )
  t.same(
    second!.stages.map(({ kind }) => kind),
    [...training.slice(0, 7).map(({ kind }) => kind), 'infer', 'dice'],
  )
  t.ok(first!.stages.every(({ bytes, operators }) => bytes!.most >= bytes!.least && operators.length > 0))
  t.equal(first!.stages[4]!.volumes.image!.isExact, false, 'a box that only voxels tell')
  t.same(first!.stages[7]!.patch, { shape: [32, 32, 8], perCase: 2 })
  t.match(explanation.memory, { limitBytes: 2 ** 30, tooLarge: [], cache: { cases: 7, holds: 7, hitRate: 1 } })
  const { time } = explanation
  t.match(time!.epoch, { steps: 5 })
  t.ok([time!.totalSeconds, time!.epoch!.firstSeconds, time!.epoch!.laterSeconds].every(value => value > 0))
  t.same(
    time!.passes.map(({ section, times }) => [section, times]),
    [
      ['validation', 3],
      ['testing', 1],
    ],
  )
  t.match(time!.calibration.engine.step, { measured: /call|patch/ })
  t.equal(explanation.labels!.looked > 0, true)
  const lines = explanationLines(explanation)
  t.ok(
    lines.every(line => line.length <= 100 || line.includes(dir)),
    lines.find(line => line.length > 100) ?? 'none is too wide',
  )
  t.comment(lines.join('\n'))
})

t.test('the peak that is told is what the ledger then shows', async t => {
  const dir = t.testdir({})
  for (const memory of ['1GiB', '90MiB']) {
    const definition = definitionIn(dir, { memory })
    const { memory: plan } = await explain(definition, quick)
    const result = await run(definition, { progress: createProgress('none') })
    t.equal(result.status, 'ok', result.error ?? 'ran')
    const { memory: report } = JSON.parse(readFileSync(join(dir, 'out/run.json'), 'utf8'))
    const ratio = plan.peakBytes / report.peakLiveBytes
    t.comment(`${memory}: told ${plan.peakBytes}, was ${report.peakLiveBytes}, ratio ${ratio.toFixed(3)}`)
    t.ok(ratio > 0.85 && ratio < 1.15, `${memory}: ${ratio.toFixed(3)}`)
  }
})

t.test('inference and evaluation', async t => {
  const dir = t.testdir({})
  const trained = await run(definitionIn(dir, {}), { progress: createProgress('none') })
  t.equal(trained.status, 'ok', trained.error ?? 'ran')
  const infer = definitionIn(dir, {
    task: 'infer',
    network: { ...network, weights: 'out/best.safetensors' },
    stages: [
      { kind: 'load', keys: ['image'] },
      ...prefix.slice(2),
      { kind: 'infer', window: [32, 32, 8], overlap: 0.25 },
      { kind: 'save' },
    ],
    output: 'masks',
  })
  const told = await explain(infer, quick)
  t.match(told, { failures: [], sections: [{ name: 'testing', cases: 2 }], memory: { cache: null } })
  const mask = told.sections[0]!.stages.at(-1)!.volumes.prediction!
  t.same(
    [mask.least, mask.most],
    [
      [48, 40, 16],
      [48, 40, 16],
    ],
    "on the scan's own grid",
  )
  t.ok(told.time!.passes[0]!.windows > 0 && told.time!.totalSeconds > 0)
  const masks = await run(infer, { progress: createProgress('none') })
  t.equal(masks.status, 'ok', masks.error ?? 'ran')

  const evaluate = definitionIn(dir, {
    task: 'evaluate',
    network: undefined,
    dataset: { phantoms: { ...phantoms, folder: 'phantoms' }, predictions: 'masks/masks' },
    stages: [
      { kind: 'load', keys: ['prediction', 'label'] },
      { kind: 'dice', surface: {} },
    ],
    output: 'scores',
  })
  const scores = await explain(evaluate, quick)
  t.match(scores, { failures: [], engine: null, reserves: [], sections: [{ name: 'testing', cases: 2 }] })
  t.ok(scores.time!.totalSeconds > 0)
  t.ok(explanationLines(scores).length > 5)
})

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
  const sorted = (failures: Explanation['failures']): unknown[] =>
    failures.map(({ case: id, code }) => `${id}: ${code}`).toSorted()
  t.same(sorted(told.failures), sorted(ran.failures))
  t.same(sorted(told.failures), ['damaged: ERR_FILE', 'far: ERR_GEOMETRY', 'gone: ERR_FILE', 'odd: ERR_LABEL'])
  const reasons = new Map(ran.failures.map(({ case: id, reason }) => [id, reason]))
  for (const { case: id, reason } of told.failures) t.equal(reason, reasons.get(id))
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

const damaged = sharedPath('data', 'nifti-damaged') ?? ''

t.test(
  'damaged files of every kind are told, and none stops it',
  { skip: !damaged && 'shared data not found' },
  async t => {
    const dir = t.testdir({})
    const dataset = await listOf(dir, { good: {} })
    const list = JSON.parse(readFileSync(join(dir, 'list.json'), 'utf8'))
    const files = readdirSync(damaged).filter(name => /\.(nii|nii\.gz|hdr)$/.test(name))
    for (const name of files) {
      copyFileSync(join(damaged, name), join(dir, name))
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
  },
)

t.test('a case that memory cannot hold is told with what it needs', async t => {
  const dir = t.testdir({})
  const dataset = await listOf(dir, { good: {}, long: { shape: [200, 200, 60] } })
  const stages = training.filter(({ kind }) => kind !== 'resample')
  const told = await explain(definitionIn(dir, { dataset, stages, memory: '60MiB' }), quick)
  t.match(told.memory.tooLarge, [{ case: 'long' }])
  t.match(warningsOf(told)['memory'], /1 case will fail for want of memory: long needs [\d.]+ MiB/)
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

t.test('validate reads no data, and refuses what cannot run', async t => {
  const dir = t.testdir({})
  const outline = await validate(definitionIn(dir, {}))
  t.match(outline, { task: 'train', engine: { classes: 2 }, limitBytes: 2 ** 30 })
  t.same(
    outline.flows.map(({ section }) => section),
    ['training', 'validation', 'testing'],
  )
  t.same(readdirSync(dir), [], 'no phantom was made')
  t.ok(outlineLines(outline).every(line => line.length <= 100 || line.includes(dir)))

  const refused = async (fields: object): Promise<[unknown, string]> => {
    try {
      await validate(definitionIn(dir, fields))
      return [undefined, 'was taken']
    } catch (error) {
      return [codeOf(error), messageOf(error)]
    }
  }
  t.match(await refused({ memory: '10kB' }), ['ERR_DEFINITION', /\/memory: expected at least [\d.]+ .iB.*patches/])
  t.match(await refused({ dataset: { list: 'gone.json' } }), ['ERR_DEFINITION', /gone\.json: there is no such file/])
  writeFileSync(join(dir, 'empty.json'), '{"training": []}')
  t.match(await refused({ dataset: { list: 'empty.json' } }), ['ERR_DATASET', /"training" has no cases/])
  writeFileSync(join(dir, 'bad.safetensors'), 'not weights')
  t.match(await refused({ network: { ...network, weights: 'bad.safetensors' } }), ['ERR_WEIGHTS', /bad\.safetensors/])
})
