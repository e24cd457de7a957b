/** `Engine.need` against what the same work then takes. */

import { createHash } from 'node:crypto'
import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { openEngine, type EngineOptions, type EngineWithReport } from '../../engine/engine.ts'
import { openSession } from '../../engine/session.ts'
import { publishedSegresnet, type SegresnetOptions } from '../../model/segresnet.ts'
import { loadAddon } from '../../native/addon.ts'
import type { Batch, Engine, EngineWork } from '../../pipeline/engine.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped, testedBackends, type TestedBackend } from '../support/backends.ts'
import { classes, normals } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'

const native = { skip: skipped('native') }
const sizeOf = ([x, y, z]: Shape3): number => x * y * z

const batchOf = (shape: Shape3, count: number): Batch => ({
  image: normals(count * sizeOf(shape), 'image'),
  label: classes(count * sizeOf(shape), 2, 'label'),
  count,
  shape,
  cases: ['a'],
})

interface Trial {
  readonly name: string
  readonly options: Partial<EngineOptions>
  readonly step?: { readonly patch: Shape3; readonly batch: number }
  readonly windows: readonly Shape3[]
}

const network = (change: Partial<SegresnetOptions>): { network: SegresnetOptions } => ({
  network: { ...publishedSegresnet, ...change },
})
const shallow = { blocksDown: [1, 2], blocksUp: [1] }

const trials: readonly Trial[] = [
  {
    name: '8 filters, 2 levels, steps and windows of other sizes',
    options: network(shallow),
    step: { patch: [32, 24, 16], batch: 2 },
    windows: [48, 40, 32, 24, 64].map(n => [n, 32, 16]),
  },
  {
    name: '8 filters, 2 levels, Dice over a batch of 3, with dropout',
    options: {
      ...network({ ...shallow, dropout: 0.2 }),
      loss: { ...engineOptions({}).loss, batch: true },
    },
    step: { patch: [40, 40, 16], batch: 3 },
    windows: [],
  },
  {
    name: 'published, bfloat16-emulated',
    options: { ...network({}), precision: 'bfloat16-emulated' },
    step: { patch: [32, 32, 16], batch: 1 },
    windows: [],
  },
  {
    name: 'published, bfloat16',
    options: { ...network({}), precision: 'bfloat16' },
    step: { patch: [48, 48, 16], batch: 1 },
    windows: [[48, 32, 16]],
  },
  {
    name: '16 filters, 3 levels',
    options: network({ initFilters: 16, blocksDown: [1, 1, 2], blocksUp: [1, 1] }),
    step: { patch: [48, 48, 16], batch: 1 },
    windows: [[48, 48, 16]],
  },
]

/** What rounds of the work have taken. */
async function taken(engine: EngineWithReport, { step, windows }: Trial): Promise<number> {
  loadAddon().trimScratch() // of the whole process: what finding out has left
  const batch = step && batchOf(step.patch, step.batch)
  for (let round = 0; round < 3; round++) {
    if (batch) for (let i = 0; i < 2; i++) await engine.step(batch)
    for (const window of windows) await engine.infer(new Float32Array(sizeOf(window)), 1, window)
  }
  return (await engine.report()).peakHeldBytes
}

t.test('what is told is what is taken, within 2 %', native, async t => {
  let worst = 0
  for (const trial of trials) {
    if (trial.options.precision === 'bfloat16' && !loadAddon().hasBfloat16()) {
      t.comment(`${trial.name}: this processor has no bfloat16`)
      continue
    }
    const engine = await openEngine(engineOptions({ backend: 'native', ...trial.options }))
    const { bytes: told } = await engine.need(trial)
    const found = await taken(engine, trial)
    await engine.close()
    t.comment(`${trial.name}: told ${told} bytes, taken ${found}`)
    t.ok(found > 1 << 20 && Math.abs(told / found - 1) < 0.02, `${trial.name}: ${told} / ${found}`)
    worst = Math.max(worst, Math.abs(told / found - 1))
  }
  t.comment(`largest difference: ${(100 * worst).toFixed(3)} %`)
})

/** Losses, logits, weights and what is alive after some work; `between` runs before each part of it. */
async function results(backend: TestedBackend, between: (engine: Engine) => Promise<unknown>): Promise<unknown[]> {
  const shape: Shape3 = backend === 'native' ? [32, 24, 16] : [8, 4, 6]
  const engine = await openEngine(
    engineOptions({ backend, ...network({ blocksDown: [1, 1], blocksUp: [1], dropout: 0.3 }) }),
  )
  const batch = batchOf(shape, 2)
  const losses: number[] = []
  const hash = createHash('sha256')
  for (let i = 0; i < 2; i++) {
    await between(engine)
    losses.push((await engine.step(batch)).loss)
    await between(engine)
    hash.update(await engine.infer(batch.image, 2, shape))
  }
  await between(engine)
  for (const [, { data }] of await engine.save({ optimizer: true })) hash.update(data)
  const { fallbacks, liveBytes, liveTensors } = await engine.report()
  await engine.close()
  return [losses, hash.digest('hex'), fallbacks, liveBytes, liveTensors]
}

for (const backend of testedBackends) {
  const title = `${backend}: asking changes no bit of what is computed, and leaves nothing behind`
  t.test(title, { skip: skipped(backend) }, async t => {
    const work = {
      step: { patch: [16, 8, 8], batch: 2 },
      windows: [
        [32, 24, 16],
        [8, 8, 8],
      ],
    } as const
    const asked = await results(backend, engine => engine.need(work))
    t.same(asked, await results(backend, async () => {}))
  })
}

const step = (patch: Shape3): EngineWork => ({ step: { patch, batch: 2 }, windows: [] })

t.test('what cannot be is refused, and what is large is not tried', native, async t => {
  const engine = await openEngine(engineOptions({ backend: 'native', ...network({}) }))
  t.teardown(() => engine.close())

  const odd = { code: 'ERR_DEFINITION', message: /must be divisible by 8, for example 8 x 8 x 8/ }
  await t.rejects(engine.need(step([7, 4, 6])), odd, 'as a step refuses it')
  await t.rejects(engine.step(batchOf([7, 4, 6], 1)), odd)
  await t.rejects(
    engine.need({
      windows: [
        [8, 8, 8],
        [7, 4, 6],
      ],
    }),
    odd,
  )

  for (const n of [640, 1024, 4096, 1 << 20]) {
    const error = { code: 'ERR_DEFINITION', message: /larger tensors than there can be/, facts: { shape: [n, n, n] } }
    await t.rejects(engine.need(step([n, n, n])), error, `${n} voxels a side`)
  }
  await t.rejects(engine.need({ windows: [[640, 640, 640]] }), { code: 'ERR_DEFINITION' })

  const before = process.memoryUsage.rss()
  const { bytes: told } = await engine.need({ ...step([320, 320, 128]), windows: [[256, 256, 256]] })
  const grown = process.memoryUsage.rss() - before
  t.comment(`told ${told} bytes, the process grew by ${grown}`)
  t.ok(told > 3e9 && grown < told / 4, 'gigabytes are told of without being taken')
})

t.test("an engine for inference tells of windows, and needs no optimiser's state", native, async t => {
  const { loss, optimizer, ...options } = engineOptions({ backend: 'native', ...network(shallow) })
  const windows: Shape3[] = [[64, 64, 16]]
  const told: number[] = []
  for (const training of [{}, { loss, optimizer }]) {
    const engine = await openEngine({ ...options, ...training })
    told.push((await engine.need({ windows })).bytes + ('loss' in training ? -2 * 4 * engine.info.parameters : 0))
    if (!('loss' in training)) await t.rejects(engine.need(step([8, 8, 8])), { message: /opened for inference/ })
    await engine.close()
  }
  t.equal(told[0], told[1])
})

t.test('on the cpu backend an estimate finds the tensors of larger patches', async t => {
  const session = await openSession(engineOptions({}))
  t.teardown(() => session.close())
  const patch: Shape3 = [12, 8, 6]
  const { bytes: told } = await session.need({ step: { patch, batch: 2 }, windows: [] })
  // What lives between kernels. Labels are told of on top: here they are a tensor too.
  const { peakBytes } = await tf.profile(async () => {
    await session.step(batchOf(patch, 2))
    return tf.scalar(0)
  })
  const found = peakBytes + 4 * sizeOf(patch)
  t.comment(`told ${told} bytes, found ${found}: ${(100 * Math.abs(told / found - 1)).toFixed(3)} %`)
  t.ok(Math.abs(told / found - 1) < 0.02)
  await t.rejects(session.need({ windows: [[7, 4, 6]] }), { code: 'ERR_DEFINITION', facts: { divisor: 2 } })
})
