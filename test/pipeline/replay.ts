/** Whole definitions with `"random": "numpy"`: what the network is given depends on nothing but seed, data and options. */

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { openDataSet, type DataSet } from '../../pipeline/data-set.ts'
import { validateDefinition, type Definition } from '../../pipeline/definition.ts'
import { Meter } from '../../pipeline/meter.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { randomOf } from '../../pipeline/random-mode.ts'
import { run } from '../../pipeline/run.ts'
import type { RunFolder } from '../../pipeline/run-folder.ts'
import type { Batch, Engine } from '../../pipeline/engine.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { CaseBook } from '../../pipeline/tasks/task.ts'
import { Schedule } from '../../pipeline/schedule.ts'
import { train } from '../../pipeline/tasks/train.ts'
import { contextOf } from '../support/stage.ts'

const progress = createProgress('none')
const dir = t.testdir({})
const phantoms = { training: 4, validation: 1, testing: 0, seed: 3, shape: [48, 40, 16], folder: join(dir, 'phantoms') }

interface Variant {
  readonly random?: string
  /** Bytes of the cache; without it there is no cache. */
  readonly cache?: string | number
  readonly parallel?: number
  readonly validateEvery?: number
  readonly dataset?: object
}

/** A small training whose crops and changes all happen often. */
function definitionOf(output: string, variant: Variant): Definition {
  const { random = 'numpy', cache, parallel = 1, validateEvery = 0, dataset = { phantoms } } = variant
  return validateDefinition(
    {
      task: 'train',
      seed: 11,
      random,
      memory: '1GiB',
      dataset,
      network: { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] },
      stages: [
        { kind: 'load' },
        { kind: 'map-label', classes: 2 },
        { kind: 'resample', spacing: [7, 7, 14] },
        { kind: 'clip' },
        { kind: 'crop-foreground' },
        { kind: 'pad', size: [32, 32, 8] },
        ...(cache === undefined ? [] : [{ kind: 'cache', bytes: cache, parallel }]),
        { kind: 'crop', size: [16, 16, 8], samples: 2, parallel },
        { kind: 'augment', flip: { probability: 0.5 }, rotate90: { probability: 0.5 } },
        { kind: 'batch', size: 3 },
        {
          kind: 'train',
          epochs: 3,
          validate: { every: validateEvery, window: [32, 32, 8], overlap: 0.25, test: false },
        },
      ],
      output,
    },
    dir,
  )
}

t.test('the same weights, byte for byte, with any parallelism, cache and validation', async t => {
  const weights = async (name: string, variant: Variant): Promise<string> => {
    const result = await run(definitionOf(name, variant), { progress })
    t.equal(result.status, 'ok', result.error ?? name)
    return createHash('sha256')
      .update(readFileSync(join(dir, name, 'last.safetensors')))
      .digest('hex')
  }
  const first = await weights('first', {})
  t.equal(await weights('again', {}), first, 'again')
  t.equal(await weights('parallel', { parallel: 4 }), first, 'four volumes at a time')
  t.equal(await weights('cached', { cache: 'auto' }), first, 'cached')
  const both = { cache: 'auto', parallel: 4, validateEvery: 1 }
  t.equal(await weights('both', both), first, 'cached, four at a time, validated after every epoch')
  t.not(await weights('counter', { random: 'counter' }), first, 'and others in counter mode')
})

/** What a training gives its network: the cases and the bytes of every batch. */
async function batchesOf(variant: Variant): Promise<{ cases: string[][]; bytes: string; failed: string[] }> {
  const batches: Batch[] = []
  const definition = definitionOf('unused', variant)
  const engine = {
    info: { classes: 2, parameters: 1 },
    async step(batch: Batch) {
      batches.push({ ...batch, image: batch.image.slice(), label: batch.label.slice() }) // the memory is used again
      return { loss: 0, patches: batch.count, seconds: 1, cases: batch.cases }
    },
    async infer(_: Float32Array, count: number, [x, y, z]: Shape3) {
      return new Float32Array(count * x * y * z * 2)
    },
    save: async () => new Map(),
    load: async () => {},
    setLearningRate: async () => {},
    close: async () => {},
  } as unknown as Engine
  const failed: string[] = []
  const context = contextOf({
    engine: () => engine,
    seed: definition.seed,
    random: randomOf(definition.random, definition.seed),
  })
  const folder = { staging: dir, appendLine: () => {}, writeText: () => {} } as unknown as RunFolder
  const dataSet: DataSet = await openDataSet('train', definition.dataset, dir)
  const cases = new CaseBook(false, ({ case: id }) => void failed.push(id))
  await train({
    definition,
    dataSet,
    context,
    schedule: new Schedule(),
    meter: new Meter(),
    folder,
    making: { definition: '', model: null },
    seconds: () => 0,
    progress,
    signal: context.signal,
    cases,
  })
  const hash = createHash('sha256')
  for (const { image, label } of batches) hash.update(image).update(label)
  return { cases: batches.map(({ cases }) => [...cases]), bytes: hash.digest('hex'), failed }
}

t.test('cases pass in the order of the list, in every epoch; batches are the same with every variant', async t => {
  const first = await batchesOf({})
  const order = first.cases.flat().filter((_, i) => i % 2 === 0)
  const ids = order.slice(0, 4)
  t.equal(new Set(ids).size, 4)
  t.same(ids, ids.toSorted(), 'phantoms are listed by number')
  t.same(order, [...ids, ...ids, ...ids])
  const oneVolume = 32 * 32 * 8 * 4 * 2
  for (const [name, variant] of Object.entries({
    again: {},
    'four at a time': { parallel: 4 },
    cached: { cache: 'auto', parallel: 4 },
    'a cache of one case': { cache: oneVolume, parallel: 2 },
    'validated every epoch': { cache: 'auto', validateEvery: 1 },
  } satisfies Record<string, Variant>)) {
    t.same(await batchesOf(variant), first, name)
  }
})

t.test('a case that fails is as if it had not been listed', async t => {
  const { name } = await openDataSet('train', definitionOf('unused', {}).dataset, dir)
  const list = /\((.*)\)/.exec(name)![1]!
  const { training } = JSON.parse(readFileSync(list, 'utf8')) as { training: { image: string; label: string }[] }
  const damaged = join(dirname(list), 'damaged.nii.gz')
  const scan = readFileSync(join(dirname(list), training[1]!.image))
  writeFileSync(damaged, scan.subarray(0, scan.length / 2))
  const lists = {
    mixed: [
      training[0],
      { ...training[1], image: 'damaged.nii.gz' },
      { image: 'missing.nii.gz' },
      ...training.slice(2),
    ],
    good: [training[0], ...training.slice(2)],
  }
  for (const [name, training] of Object.entries(lists))
    writeFileSync(join(dirname(list), `${name}.json`), JSON.stringify({ training }))
  const dataset = (name: string): object => ({ list: join(dirname(list), `${name}.json`) })
  const good = await batchesOf({ dataset: dataset('good') })
  for (const variant of [{}, { parallel: 4 }, { parallel: 4, cache: 'auto' }]) {
    const mixed = await batchesOf({ ...variant, dataset: dataset('mixed') })
    t.equal(mixed.failed.length, 2)
    t.equal(mixed.bytes, good.bytes, JSON.stringify(variant))
    t.same(mixed.cases, good.cases)
  }
})
