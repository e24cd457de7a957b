import t from 'tap'
import { startBackend } from '../../engine/backend.ts'
import { openEngine, type EngineOptions, type EngineWithReport } from '../../engine/engine.ts'
import { loadAddon } from '../../native/addon.ts'
import { rng } from '../../pipeline/random.ts'
import type { Batch } from '../../pipeline/engine.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped } from '../support/backends.ts'
import { relativeDistance } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'

type Precision = EngineOptions['precision']

const shape: Shape3 = [16, 16, 16]
const voxels = 16 ** 3
const skip = skipped('native')
const nativeSkip = skip || (loadAddon().hasBfloat16() ? false : 'this processor has no avx512_bf16')
const mixed: readonly Precision[] = ['bfloat16-emulated', ...(nativeSkip === false ? (['bfloat16'] as const) : [])]

/** Noise with a brighter ball at a random place, two patches: a lesion that must be told from noise. */
function ballsOf(draw: number): Batch {
  const random = rng(7, 0, draw, 'balls')
  const image = new Float32Array(2 * voxels)
  const label = new Uint8Array(2 * voxels)
  for (let n = 0; n < 2; n++) {
    const centre = shape.map(extent => extent * (0.3 + 0.4 * random.uniform()))
    const radius = 3 + 2 * random.uniform()
    for (let i = 0; i < voxels; i++) {
      const at = [i % 16, (i >> 4) % 16, i >> 8]
      const inside = at.reduce((sum, v, axis) => sum + (v - centre[axis]!) ** 2, 0) < radius ** 2
      image[n * voxels + i] = 0.3 + 0.15 * random.normal() + (inside ? 0.25 : 0)
      label[n * voxels + i] = inside ? 1 : 0
    }
  }
  return { image, label, count: 2, shape, cases: ['ball'] }
}

async function using<T>(options: Partial<EngineOptions>, work: (engine: EngineWithReport) => Promise<T>): Promise<T> {
  const engine = await openEngine(engineOptions({ backend: 'native', ...options }))
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

/** The losses of some steps, then the foreground's lead over the background in each voxel of an unseen batch. */
async function train(precision: Precision, seed: number, steps: number, threads = 2) {
  return using({ precision, seed, threads }, async engine => {
    await engine.setLearningRate(5e-3)
    const losses: number[] = []
    for (let i = 0; i < steps; i++) losses.push((await engine.step(ballsOf(i))).loss)
    const logits = await engine.infer(ballsOf(1000).image, 2, shape)
    return { losses, lead: Float32Array.from({ length: 2 * voxels }, (_, i) => logits[2 * i + 1]! - logits[2 * i]!) }
  })
}

/** Means of ten steps. */
const smooth = (losses: readonly number[]): number[] =>
  Array.from({ length: losses.length / 10 }, (_, i) => losses.slice(10 * i, 10 * i + 10).reduce((a, b) => a + b) / 10)

const list = (values: readonly number[]): string => values.map(v => v.toFixed(4)).join(', ')

t.test(
  'the loss curve stays within half the spread over seeds, and the masks agree',
  { skip, timeout: 120_000 },
  async t => {
    const steps = 40
    const seeds = [1, 2, 3]
    const reference: Awaited<ReturnType<typeof train>>[] = []
    for (const seed of seeds) reference.push(await train('float32', seed, steps))
    const curves = reference.map(({ losses }) => smooth(losses))
    const spread = curves[0]!.map((_, i) => Math.max(...curves.map(c => c[i]!)) - Math.min(...curves.map(c => c[i]!)))
    const foreground = reference[0]!.lead.filter(v => v > 0).length
    t.ok(curves[0]!.at(-1)! < 0.6 * curves[0]![0]!, `float32 learns: ${curves[0]!.map(v => v.toFixed(3)).join(', ')}`)
    t.ok(foreground > 100, `float32 finds ${foreground} voxels`)
    // Real and emulated are the same but for the order of sums, which the next test tells: one of them is enough.
    for (const precision of mixed.slice(-1)) {
      const { losses, lead } = await train(precision, seeds[0]!, steps)
      const away = smooth(losses).map((v, i) => Math.abs(v - curves[0]![i]!))
      t.comment(`${precision}: mean losses of ten steps differ by ${list(away)}; between seeds by ${list(spread)}`)
      t.ok(
        away.every((v, i) => v < spread[i]! / 2),
        `${precision} is closer than half the spread, all along`,
      )
      t.ok(Math.max(...away) > 0, `${precision} is not float32`)
      const differing = lead.filter((v, i) => v > 0 !== reference[0]!.lead[i]! > 0).length
      t.comment(
        `${precision}: ${differing} of ${lead.length} voxels differ after training, ${foreground} are foreground`,
      )
      t.ok(differing <= 0.01 * lead.length, `${differing} of ${lead.length} voxels differ after training`)
    }
  },
)

t.test('the same weights give the same masks in 99.8 % of the voxels', { skip }, async t => {
  const { image } = ballsOf(1000)
  const [weights, expected] = await using({ precision: 'float32' }, async engine => {
    await engine.setLearningRate(5e-3)
    for (let i = 0; i < 40; i++) await engine.step(ballsOf(i))
    return [await engine.save(), await engine.infer(image, 2, shape)] as const
  })
  let emulated: Float32Array | undefined
  for (const precision of mixed) {
    const found = await using({ precision }, async engine => {
      t.equal(engine.info.precision, precision)
      await engine.load(weights)
      return engine.infer(image, 2, shape)
    })
    let differing = 0
    for (let i = 0; i < 2 * voxels; i++) {
      if (found[2 * i + 1]! > found[2 * i]! !== expected[2 * i + 1]! > expected[2 * i]!) differing++
    }
    const distance = relativeDistance(found, expected)
    t.comment(`${precision}: ${differing} of ${2 * voxels} voxels differ, logits by ${distance} (relative norm)`)
    t.ok(differing <= 0.002 * 2 * voxels, `${differing} voxels differ`)
    t.ok(distance > 1e-5 && distance < 2e-2, `${distance}`)
    // Real and emulated bfloat16 round the same numbers; only sums differ.
    emulated ??= found
    const apart = relativeDistance(found, emulated)
    t.ok(apart < distance / 5, `${apart} to the emulation is far less than ${distance} to float32`)
  }
})

t.test('the number of threads changes no bit', { skip }, async t => {
  const runs = []
  for (const threads of [1, 2, 3]) runs.push(await train(mixed.at(-1)!, 1, 2, threads))
  t.same(runs[1], runs[0], '2 threads')
  t.same(runs[2], runs[0], '3 threads')
})

t.test('two engines of one process differ in precision, each as if it were alone', { skip }, async t => {
  const precision = mixed.at(-1)!
  const alone = [await train('float32', 1, 2), await train(precision, 1, 2)]
  const together = await Promise.all([train('float32', 1, 2), train(precision, 1, 2)])
  t.same(together, alone)
  t.not(String(alone[0]!.losses), String(alone[1]!.losses))
})

t.test('a processor without bfloat16 is an error with the cure', { skip }, async t => {
  const addon = loadAddon()
  const { hasBfloat16 } = addon
  addon.hasBfloat16 = () => false
  t.teardown(() => {
    addon.hasBfloat16 = hasBfloat16
  })
  await t.rejects(startBackend(engineOptions({ backend: 'native', precision: 'bfloat16' })), {
    code: 'ERR_ENGINE',
    message: /^\/engine\/precision: "bfloat16" needs a processor .*use "float32", or "bfloat16-emulated"/,
    facts: { precision: 'bfloat16' },
  })
})

t.test('the cpu backend refuses other precisions', async t => {
  await t.rejects(openEngine(engineOptions({ backend: 'cpu', precision: 'bfloat16-emulated' })), {
    code: 'ERR_DEFINITION',
    message: /^\/engine\/precision: the cpu backend computes in float32 only, found "bfloat16-emulated"/,
  })
})
