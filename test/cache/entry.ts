import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { encode } from '../../cache/chunk.ts'
import { toMemory } from '../../cache/stored-volume.ts'
import { cropVoxels } from '../../imaging/crop.ts'
import { materialise, residentVolume, voxelCount } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skip } from '../support/kernels.ts'
import { gridOf } from '../support/nifti.ts'
import {
  allOf,
  drawImage,
  drawLabel,
  drawShape,
  put,
  sameBits,
  streamed,
  throughEncoding,
  tierOf,
} from '../support/stored.ts'

t.test('entries of any shape give back voxels, regions and what was attached', { skip }, async t => {
  const tier = await tierOf(t.testdir())
  for (let i = 0; i < 40; i++) {
    const draws = rng(5, i, 0, 'entry')
    const shape = drawShape(draws, 150)
    const [image, label] = [drawImage(draws, shape), drawLabel(draws, shape)]
    const encoding = i % 2 === 0 ? 'exact' : 'uint16'
    const entry = (await put(tier, `case ${i}`, { image, label }, encoding))!
    const expected = await materialise(throughEncoding(image, encoding))
    const stored = entry.volumes.image!
    t.same(stored.volume.grid, image.grid)
    t.same(stored.volume.header, image.header)
    t.equal(stored.volume.volumes, 1)
    t.equal(entry.volumes.label!.volume.header, undefined)
    t.equal(entry.volumes.prediction, undefined)
    t.ok(sameBits(await materialise(stored.volume), expected), `${shape.join(' x ')}, ${encoding}`)
    t.ok(sameBits(await materialise(entry.volumes.label!.volume), label.resident!))
    for (let k = 0; k < 4; k++) {
      const size = shape.map(n => 1 + draws.integer(n)) as unknown as Shape3
      const start = shape.map((n, axis) => draws.integer(n - size[axis]! + 1)) as unknown as Shape3
      const region = await stored.volume.region!(start, size)
      t.ok(sameBits(region, cropVoxels(expected, shape, { start, shape: size })), `${size.join(' x ')} from ${start}`)
    }
    const chunks = await allOf(encode(image, encoding))
    const again = await allOf(stored.chunks())
    t.ok(again.length === chunks.length && again.every((chunk, k) => Buffer.from(chunk.bytes).equals(chunks[k]!.bytes)))
    t.same(
      again.map(({ z, planes, as, scales }) => ({ z, planes, as, scales })),
      chunks.map(({ z, planes, as, scales }) => ({ z, planes, as, scales })),
    )
    const inMemory = await toMemory(stored)
    t.ok(sameBits(await materialise(inMemory.volume), expected))
    t.equal(inMemory.bytes, stored.bytes)
    inMemory.release()
    await entry.close()
  }
})

t.test('facts and affines come back, -0 too; bits of odd voxels also', { skip }, async t => {
  const tier = await tierOf(t.testdir())
  const grid = { ...gridOf([3, 1, 1]), affine: [-0, 1e-7, 0, 1 / 3, 0, 1, 0, 0, 0, 0, 1, -0, 0, 0, 0, 1] }
  const odd = residentVolume(grid, Float32Array.of(NaN, -0, Infinity))
  const entry = (await put(tier, 'odd', { image: odd }))!
  t.ok(sameBits(await materialise(entry.volumes.image!.volume), odd.resident!))
  const { affine } = entry.volumes.image!.volume.grid
  t.ok(affine.every((value, i) => Object.is(value, grid.affine[i])))
  t.same(entry.facts, { steps: [], zero: -0 })
  t.ok(Object.is((entry.facts as { zero: number }).zero, -0))
  await entry.close()
})

t.test('a 224x224x32 crop of 448x448x61 reads at most twice its own bytes, checks included', { skip }, async t => {
  const shape = [448, 448, 61] as const
  const draws = rng(6, 0, 0, 'crop')
  const grid = gridOf(shape)
  const voxels = Float32Array.from({ length: voxelCount(grid) }, (_, i) =>
    Math.fround(Math.imul(i, 2654435761) / 2 ** 31),
  )
  const image = residentVolume(grid, voxels)
  const label = residentVolume(
    grid,
    voxels.map(value => (value > 0.4 ? 1 : 0)),
  )
  for (const [encoding, own] of [
    ['exact', 4 + 1],
    ['uint16', 2 + 1],
  ] as const) {
    const tier = await tierOf(t.testdir())
    const written = (await put(tier, 'case', { image: streamed(image), label: streamed(label) }, encoding))!
    await written.close()
    const made = await materialise(throughEncoding(image, encoding))
    let most = 0
    const starts = [
      [31, 31, 29],
      [0, 0, 0],
      [224, 224, 29],
      ...Array.from({ length: 12 }, () => [225, 225, 30].map(n => draws.integer(n))),
    ]
    for (const start of starts as unknown as Shape3[]) {
      // As a hit: opened for this crop alone, a place chosen from the annex.
      const before = tier.counts.annexBytesRead
      const entry = (await tier.get('case'))!
      const annex = await tier.annex('case', 'candidates', async () => new Uint8Array((2 * voxelCount(grid)) / 8))
      await annex.read(draws.integer(1000) * 1000, 8)
      const patches = await Promise.all(
        [entry.volumes.image!, entry.volumes.label!].map(({ volume }) => volume.region!(start, [224, 224, 32])),
      )
      const read = entry.bytesRead + tier.counts.annexBytesRead - before
      most = Math.max(most, read / (224 * 224 * 32 * own))
      const box = { start, shape: [224, 224, 32] as Shape3 }
      t.ok(sameBits(patches[0]!, cropVoxels(made, shape, box)))
      t.ok(sameBits(patches[1]!, cropVoxels(label.resident!, shape, box)))
      await entry.close()
    }
    t.comment(`${encoding}: at most ${most.toFixed(3)} times the crop's own bytes`)
    t.ok(most <= 2 && most > 1)
  }
})

t.test('an entry that is removed stays readable; a closed one says so', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const image = drawImage(rng(7, 0, 0, 'removed'), [70, 40, 9])
  const entry = (await put(tier, 'case', { image }))!
  rmSync(join(folder, 'v1'), { recursive: true })
  t.equal(await tier.get('case'), undefined)
  const reading = entry.volumes.image!.volume.region!([0, 0, 0], [70, 40, 9])
  const closing = entry.close()
  t.ok(sameBits(await reading, image.resident!), 'a read under way ends well')
  await closing
  await t.rejects(entry.volumes.image!.volume.region!([0, 0, 0], [1, 1, 1]), { message: /after it had been closed/ })
})
