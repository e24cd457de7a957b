import { Ajv } from 'ajv'
import highland from 'highland'
import t from 'tap'
import { maskVoxels } from '../../imaging/mask.ts'
import { residentVolume } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Item, Prediction } from '../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { infer } from '../../stages/infer.ts'
import { contextOf, nothingBefore, optionsFrom, sampleWith } from '../support/stage.ts'

const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

function image(shape: Shape3, value: (i: number) => number = () => 1): Volume {
  return residentVolume(
    { shape, affine: identity },
    Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => value(i)),
  )
}

/** An engine whose lesion logit is the image - 0.5, and the windows that it was given. */
function thresholding(divisor = 1): { engine: Engine; shapes: Shape3[]; count: () => number } {
  const shapes: Shape3[] = []
  let windows = 0
  const engine = {
    info: { classes: 2 },
    async infer(voxels: Float32Array, count: number, shape: Shape3) {
      shapes.push(shape)
      windows += count
      if (shape.some(n => n % divisor !== 0)) throw new PipelineError('ERR_DEFINITION', 'does not halve evenly')
      return Float32Array.from({ length: voxels.length * 2 }, (_, i) => (i % 2 === 0 ? 0 : voxels[(i - 1) / 2]! - 0.5))
    },
  } as unknown as Engine
  return { engine, shapes, count: () => windows }
}

async function predict(json: object, volume: Volume, engine: Engine): Promise<Prediction> {
  const transform = infer.create(
    optionsFrom(infer, { kind: 'infer', ...json }),
    contextOf({ engine: () => engine }),
    nothingBefore,
  )
  const source = highland<Item>([sampleWith({ image: volume })])
  return (await transform(source).toPromise(Promise)) as Prediction
}

t.test('an overlap for each axis sets how many windows each axis has', async t => {
  const volume = image([16, 16, 16], i => i % 7)
  const { engine, count } = thresholding()
  await predict({ window: [8, 8, 8], overlap: [0, 0.5, 0.75] }, volume, engine)
  t.equal(count(), 2 * 3 * 5)
  const single = thresholding()
  const { windows } = await predict({ window: [8, 8, 8], overlap: 0.5 }, volume, single.engine)
  t.equal(windows, 27)
  t.equal(single.count(), 27)
})

t.test('where windows overlap and the image is smaller than one, every voxel is still its own', async t => {
  const volume = image([11, 5, 3], i => (i % 3 === 0 ? 1 : 0))
  for (const blend of ['constant', 'gaussian']) {
    const { mask, grid } = await predict(
      { window: [4, 8, 6], overlap: [0.6, 0.1, 0.5], blend },
      volume,
      thresholding().engine,
    )
    t.same(grid.shape, [11, 5, 3])
    t.same(
      [...maskVoxels(mask)],
      Array.from({ length: 165 }, (_, i) => (i % 3 === 0 ? 1 : 0)),
      blend,
    )
  }
})

t.test('all windows of all cases go through the same memory', async t => {
  const buffers = new Set<ArrayBufferLike>()
  const { engine } = thresholding()
  const writing = {
    ...engine,
    async infer(windows: Float32Array, count: number, shape: Shape3, to: Float32Array) {
      to.set(await engine.infer(windows, count, shape))
      for (const { buffer } of [windows, to]) buffers.add(buffer)
      return to
    },
  }
  const transform = infer.create(
    optionsFrom(infer, { kind: 'infer', window: [4, 4, 2], overlap: 0.5, windowBatch: 4, blend: 'constant' }),
    contextOf({ engine: () => writing }),
    nothingBefore,
  )
  const volumes = [11, 7, 5].map(n => image([n, 8, 3], i => (i % 3 === 0 ? 1 : 0)))
  const source = highland<Item>(volumes.map(volume => sampleWith({ image: volume })))
  const predictions = (await transform(source).collect().toPromise(Promise)) as unknown as Prediction[]
  for (const { mask } of predictions)
    t.same(
      [...maskVoxels(mask)],
      Array.from(maskVoxels(mask), (_, i) => (i % 3 === 0 ? 1 : 0)),
    )
  t.equal(buffers.size, 4, 'two calls in flight, each with one for what goes in and one for what comes out')
})

t.test('a window of one value is shown to the network once, and counts wherever it comes again', async t => {
  // Windows of 4 x 4 x 2: zeros, sevens, and those that hold both.
  const volume = image([16, 8, 4], i => (i % 16 < 7 ? 0 : 7))
  const { engine, count } = thresholding()
  const { mask, windows } = await predict({ window: [4, 4, 2], overlap: 0, windowBatch: 3 }, volume, engine)
  t.equal(windows, 16)
  t.ok(count() < 16, `${count()} of 16 were computed`)
  t.ok(count() >= 6)
  t.same(
    [...maskVoxels(mask)],
    Array.from({ length: 512 }, (_, i) => (i % 16 < 7 ? 0 : 1)),
  )
})

t.test('cases take turns at the network while the next one is being read', async t => {
  const calls: number[] = []
  const { engine } = thresholding()
  const noting = {
    ...engine,
    infer: async (voxels: Float32Array, count: number, shape: Shape3) => {
      calls.push(Math.max(...voxels))
      return engine.infer(voxels, count, shape)
    },
  }
  const transform = infer.create(
    optionsFrom(infer, { kind: 'infer', window: [4, 4, 2], overlap: 0, parallel: 3 }),
    contextOf({ engine: () => noting as unknown as Engine }),
    nothingBefore,
  )
  const volumes = [2, 3, 4, 5].map(value => image([8, 8, 8], i => (i % 2 === 0 ? value : 0)))
  const source = highland<Item>(volumes.map(volume => sampleWith({ image: volume })))
  const predictions = (await transform(source).collect().toPromise(Promise)) as unknown as Prediction[]
  t.equal(predictions.length, 4)
  t.same(calls, calls.toSorted(), 'a case is done with the network before the next one begins')
  t.equal(calls.length, 4 * 16)
})

t.test('a case that fails in the middle gives its turn to the next', async t => {
  let calls = 0
  const { engine } = thresholding()
  const failing = {
    ...engine,
    infer: async (voxels: Float32Array, count: number, shape: Shape3) => {
      if (++calls === 3) throw new PipelineError('ERR_VOLUME', 'no')
      return engine.infer(voxels, count, shape)
    },
  }
  const transform = infer.create(
    optionsFrom(infer, { kind: 'infer', window: [4, 4, 2], overlap: 0 }),
    contextOf({ engine: () => failing as unknown as Engine }),
    nothingBefore,
  )
  const source = highland<Item>([0, 1, 2].map(() => sampleWith({ image: image([8, 8, 8], i => i % 2) })))
  const errors: Error[] = []
  const done = await transform(source)
    .errors(error => void errors.push(error))
    .collect()
    .toPromise(Promise)
  t.equal(errors.length, 1)
  t.equal((done as unknown as Prediction[]).length, 2)
})

t.test("a window of 0 is the image's own extent", async t => {
  const { engine, shapes } = thresholding()
  const { windows } = await predict({ window: [0, 4, 0], overlap: 0 }, image([10, 8, 6]), engine)
  t.same(shapes, [
    [10, 4, 6],
    [10, 4, 6],
  ])
  t.equal(windows, 2)
})

t.test('an image whose own extent does not suit the network is at fault, not the definition', async t => {
  const { engine } = thresholding(8)
  const volume = image([10, 8, 8])
  await t.rejects(predict({ window: [0, 8, 8] }, volume, engine), { code: 'ERR_VOLUME', message: /halve evenly.*pad/ })
  await t.rejects(predict({ window: [12, 8, 8] }, volume, engine), { code: 'ERR_DEFINITION' })
})

t.test('a window that no memory could hold is told with the window among the cures', async t => {
  const { engine } = thresholding()
  await t.rejects(predict({ window: [1e9, 8, 8] }, image([8, 8, 8]), engine), {
    code: 'ERR_VOLUME',
    message: /does not fit into memory.*smaller window/,
  })
})

t.test('what an overlap may be', async t => {
  const validate = new Ajv({ useDefaults: true, allowUnionTypes: true }).compile({
    ...infer.schema,
    examples: undefined,
  })
  for (const overlap of [0, 0.6, [0, 0.25, 0.99]]) t.ok(validate({ kind: 'infer', overlap }), JSON.stringify(overlap))
  for (const overlap of [1, -0.1, [0.5, 0.5], [0.5, 0.5, 1], [0.5, 0.5, 0.5, 0.5], '0.5', null])
    t.notOk(validate({ kind: 'infer', overlap }), JSON.stringify(overlap))
})
