import t from 'tap'
import { encode } from '../../cache/chunk.ts'
import { keep } from '../../cache/stored-volume.ts'
import { cropVoxels } from '../../imaging/crop.ts'
import { materialise, residentVolume, voxelCount, type LoadedVolume } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skip } from '../support/kernels.ts'
import { gridOf } from '../support/nifti.ts'
import { allOf, drawImage, drawShape, sameBits, streamed, throughEncoding } from '../support/stored.ts'

t.test('regions and slabs are what a pass through the encoding gives', { skip }, async t => {
  for (let i = 0; i < 40; i++) {
    const draws = rng(2, i, 0, 'stored')
    const shape = drawShape(draws)
    const image = drawImage(draws, shape)
    const encoding = i % 2 === 0 ? 'exact' : 'uint16'
    const expected = await materialise(throughEncoding(image, encoding))
    const kept = await keep(image, encoding)
    t.ok(sameBits(await materialise(kept.volume), expected))
    const size = shape.map(n => 1 + draws.integer(n)) as unknown as Shape3
    const start = shape.map((n, axis) => draws.integer(n - size[axis]! + 1)) as unknown as Shape3
    const region = await kept.volume.region!(start, size)
    t.ok(
      sameBits(region, cropVoxels(expected, shape, { start, shape: size })),
      `${size.join(' x ')} of ${shape.join(' x ')}`,
    )
    t.equal(kept.volume.header, image.header)
    t.equal(kept.volume.resident, undefined)
    const bytes = (await allOf(encode(image, encoding))).reduce(
      (n, c) => n + c.bytes.length + (c.scales?.byteLength ?? 0),
      0,
    )
    t.equal(kept.bytes, bytes)
    kept.release()
  }
})

t.test('a box that leaves the grid is refused', { skip }, async t => {
  const kept = await keep(residentVolume(gridOf([4, 5, 6]), new Float32Array(120)), 'exact')
  for (const [start, shape] of [
    [
      [0, 0, 0],
      [5, 1, 1],
    ],
    [
      [0, 0, 6],
      [1, 1, 1],
    ],
    [
      [-1, 0, 0],
      [1, 1, 1],
    ],
    [
      [0, 0, 0],
      [1, 0, 1],
    ],
    [
      [0.5, 0, 0],
      [1, 1, 1],
    ],
  ] as unknown as [Shape3, Shape3][])
    await t.rejects(kept.volume.region!(start, shape), { code: 'ERR_VOLUME', message: /inside 4 x 5 x 6/ })
})

t.test('memory goes when the last reader is done, and reading afterwards says so', { skip }, async t => {
  const grid = gridOf([512, 512, 12])
  const draws = rng(3, 0, 0, 'release')
  const voxels = Float32Array.from({ length: voxelCount(grid) }, () => draws.uniform())
  const kept = await keep(residentVolume(grid, voxels), 'uint16')
  const chunks = await allOf(kept.chunks())
  const slabs = kept.volume.slabs()[Symbol.asyncIterator]()
  await slabs.next()
  const reading = kept.volume.region!([0, 0, 0], [512, 512, 12])
  kept.release()
  kept.release()
  t.ok(sameBits(await reading, await materialise(throughEncoding(residentVolume(grid, voxels), 'uint16'))))
  t.ok(
    chunks.every(({ bytes }) => bytes.length > 0),
    'somebody still pulls',
  )
  await slabs.return!()
  t.ok(chunks.every(({ bytes }) => bytes.length === 0))
  await t.rejects(kept.volume.region!([0, 0, 0], [1, 1, 1]), { message: /given back/ })
  await t.rejects(materialise(kept.volume), { message: /given back/ })
})

t.test('what fails while it is pulled gives its own error', { skip }, async t => {
  const image = drawImage(rng(4, 0, 0, 'fails'), [40, 40, 3])
  const failing: LoadedVolume = {
    ...image,
    async *slabs() {
      yield* streamed(image).slabs()
      throw new Error('the file has changed')
    },
  }
  await t.rejects(keep(failing, 'exact'), { message: 'the file has changed' })
})
