/** Windows over a volume that streams by, against plain loops over the whole of it. */

import t from 'tap'
import { residentVolume, lazyVolume, materialise } from '../../imaging/volume.ts'
import { importanceMap, windowRows } from '../../imaging/windows.ts'
import type { Means } from '../../native/windows.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import type { Context } from '../../pipeline/stage.ts'
import { SharedMemory } from '../../stages/shared-memory.ts'
import { slide, type Slid } from '../../stages/slide.ts'
import { viewsOf, type SlideOptions } from '../../stages/slide-plan.ts'
import { Turns } from '../../stages/turns.ts'
import { probabilities, type Network } from '../reference/sliding.ts'
import { contextOf } from '../support/stage.ts'

/** A network that looks at a voxel, its place in the window and the whole window. */
function network(classes: number): Network {
  return (voxels, [wx, wy]) => {
    const mean = voxels.reduce((sum, value) => sum + value, 0) / voxels.length
    return Float32Array.from({ length: voxels.length * classes }, (_, n) => {
      const [v, c] = [Math.floor(n / classes), n % classes]
      const place = (v % wx) * 0.1 - (Math.floor(v / wx) % wy) * 0.07 + Math.floor(v / (wx * wy)) * 0.03
      return (c - 0.4) * voxels[v]! + mean * c - place * Math.cos(c + 1)
    })
  }
}

function engineOf(classes: number): { engine: Engine; seen: () => number } {
  let windows = 0
  const work = network(classes)
  const engine = {
    info: { classes },
    async infer(input: Float32Array, count: number, shape: Shape3, to: Float32Array) {
      windows += count
      const size = input.length / count
      for (let n = 0; n < count; n++) to.set(work(input.slice(n * size, (n + 1) * size), shape), n * size * classes)
      // The answer takes its time, and calls are served in order.
      await new Promise(resolve => setImmediate(resolve))
      return to
    },
  } as unknown as Engine
  return { engine, seen: () => windows }
}

/** The same voxels in slabs of any thickness. */
function streaming(shape: Shape3, voxels: Float32Array, draw: Rng): Volume {
  const plane = shape[0] * shape[1]
  return lazyVolume({ shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }, async function* () {
    for (let z = 0; z < shape[2];) {
      const planes = Math.min(1 + draw.integer(5), shape[2] - z)
      const slab = voxels.slice(z * plane, (z + planes) * plane)
      // Whoever has released a slab may not look at it any more.
      yield { z, planes, voxels: slab, release: () => void slab.fill(NaN) }
      z += planes
    }
  })
}

async function pulled({ maps }: Slid): Promise<Float32Array[]> {
  return Promise.all(maps.map(map => materialise(map)))
}

async function marginsOf(windowBatch: number, volume: Volume): Promise<Float32Array> {
  const { engine } = engineOf(2)
  const options = {
    window: [12, 8, 9],
    overlap: 0.6,
    blend: 'gaussian',
    sigma: 0.125,
    windowBatch,
    tta: ['y'] as const,
  }
  const context: Context = contextOf({ engine: () => engine })
  const [map] = await pulled(
    slide(volume, options, 'margin', { context, memory: new SharedMemory(), turns: new Turns() }),
  )
  return map!
}

const pick = <T>(draw: Rng, list: readonly T[]): T => list[draw.integer(list.length)]!

t.test(
  'probabilities are those of plain loops: any window, overlap, blend, batch, view and number of classes',
  async t => {
    let largest = 0
    for (let i = 0; i < 60; i++) {
      const draw = rng(i, 0, 0, 'slide')
      const shape: Shape3 = [1 + draw.integer(14), 1 + draw.integer(12), 1 + draw.integer(20)]
      const window = shape.map(n => 1 + draw.integer(n)) as unknown as Shape3
      const options: SlideOptions = {
        window,
        overlap: pick(draw, [0, 0.25, 0.6, [0.5, 0, 0.75]]),
        blend: pick(draw, ['constant', 'gaussian']),
        sigma: 0.125,
        windowBatch: 1 + draw.integer(4),
        tta: pick(draw, [[], ['x'], ['y', 'z'], ['x', 'y', 'z']] as const),
      }
      const classes = pick(draw, [2, 2, 3, 4])
      const isFlat = draw.integer(3) === 0
      const voxels = Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, v) =>
        isFlat && v % 97 > 3 ? 0 : draw.uniform(),
      )
      const means: Means = classes === 2 && draw.integer(2) === 0 ? 'margin' : 'probabilities'
      const { engine } = engineOf(classes)
      const tools = { context: contextOf({ engine: () => engine }), memory: new SharedMemory(), turns: new Turns() }
      const found = await pulled(slide(streaming(shape, voxels, draw), options, means, tools))
      const covering = {
        window,
        starts: windowRows(shape, window, options.overlap).flatMap(({ starts }) => starts),
        importance: importanceMap(window, options.blend as 'constant'),
        views: viewsOf(options.tta),
        classes,
      }
      const expected = probabilities(voxels, shape, covering, network(classes))
      const compared =
        means === 'margin' ? [expected[1]!.map((value, v) => value - expected[0]![v]!)] : (expected as Float64Array[])
      if (found.length !== compared.length) return t.fail(`${found.length} maps of ${classes} classes`)
      for (const [c, values] of compared.entries())
        values.forEach((value, v) => {
          const difference = Math.abs(value - found[c]![v]!)
          largest = difference <= largest ? largest : difference
        })
    }
    t.ok(largest < 2e-6, `the largest difference is ${largest}`)
  },
)

t.test('the bits do not depend on slabs, batches or what is at hand', async t => {
  const shape: Shape3 = [24, 20, 30]
  const draw = rng(1, 0, 0, 'bits')
  const voxels = Float32Array.from({ length: 24 * 20 * 30 }, () => draw.uniform())
  const grid = { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
  const first = await marginsOf(1, residentVolume(grid, voxels))
  for (const [batch, seed] of [
    [1, 5],
    [3, 6],
    [64, 7],
  ] as const)
    t.same(
      Buffer.from((await marginsOf(batch, streaming(shape, voxels, rng(seed, 0, 0, 'slabs')))).buffer),
      Buffer.from(first.buffer),
    )
})

t.test('damage behind the last plane that is needed is not missed', async t => {
  const shape: Shape3 = [8, 8, 8]
  const grid = { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
  const damaged = lazyVolume(grid, async function* () {
    yield { z: 0, planes: 8, voxels: new Float32Array(512).map((_, i) => i) }
    throw new Error('the checksum is wrong')
  })
  const { engine } = engineOf(2)
  const tools = { context: contextOf({ engine: () => engine }), memory: new SharedMemory(), turns: new Turns() }
  const options = { window: [8, 8, 8], overlap: 0, blend: 'constant', sigma: 0.125, windowBatch: 1, tta: [] }
  await t.rejects(pulled(slide(damaged, options, 'margin', tools)), /checksum/)
  const end = await tools.turns.take()
  t.pass('its turn has ended')
  end()
})

t.test('where zeros give numbers the voxels are at fault, and the case alone', async t => {
  const { engine } = engineOf(2)
  const overflowing = {
    ...engine,
    infer: async (input: Float32Array, count: number, shape: Shape3, to?: Float32Array) => {
      const logits = await engine.infer(input, count, shape, to ?? new Float32Array(2 * input.length))
      return logits.map(value => (Math.abs(value) > 1e30 ? NaN : value))
    },
  }
  const context = contextOf({ engine: () => overflowing as unknown as Engine })
  const options = { window: [4, 4, 4], overlap: 0, blend: 'constant', sigma: 0.125, windowBatch: 1, tta: [] }
  const voxels = new Float32Array(64).map((_, i) => i * 1e37)
  const volume = streaming([4, 4, 4], voxels, rng(1, 0, 0, 'x'))
  await t.rejects(
    pulled(slide(volume, options, 'margin', { context, memory: new SharedMemory(), turns: new Turns() })),
    { code: 'ERR_VOLUME', message: /clip/ },
  )
})

t.test('values that are not finite are told of the weights', async t => {
  const { engine } = engineOf(2)
  const broken = { ...engine, infer: async (input: Float32Array) => new Float32Array(2 * input.length).fill(NaN) }
  const context = contextOf({ engine: () => broken as unknown as Engine })
  const options = { window: [4, 4, 4], overlap: 0, blend: 'constant', sigma: 0.125, windowBatch: 1, tta: [] }
  const volume = streaming(
    [4, 4, 4],
    new Float32Array(64).map((_, i) => i),
    rng(1, 0, 0, 'x'),
  )
  await t.rejects(
    pulled(slide(volume, options, 'margin', { context, memory: new SharedMemory(), turns: new Turns() })),
    {
      code: 'ERR_WEIGHTS',
    },
  )
})
