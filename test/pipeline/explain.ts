import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { codeOf, messageOf } from '../../pipeline/errors.ts'
import { explain, validate } from '../../pipeline/explain.ts'
import { explanationLines, outlineLines } from '../../pipeline/explain/lines.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import { definitionIn, network, phantoms, prefix, quick, training } from '../support/explain.ts'

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
  t.match(await refused({ memory: '10KB' }), ['ERR_DEFINITION', /\/memory: expected at least /])
  t.match(await refused({ dataset: { list: 'gone.json' } }), ['ERR_DEFINITION', /gone\.json: there is no such file/])
  writeFileSync(join(dir, 'empty.json'), '{"training": []}')
  t.match(await refused({ dataset: { list: 'empty.json' } }), ['ERR_DATASET', /"training" has no cases/])
  writeFileSync(join(dir, 'bad.safetensors'), 'not weights')
  t.match(await refused({ network: { ...network, weights: 'bad.safetensors' } }), ['ERR_WEIGHTS', /bad\.safetensors/])
})
