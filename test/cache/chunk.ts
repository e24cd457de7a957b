import t from 'tap'
import { bytesPerVoxel, chunkPlanes, decodeChunk, encode, mostBytes } from '../../cache/chunk.ts'
import { lazyVolume, materialise, residentVolume, voxelCount } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Grid, Volume } from '../../pipeline/grid.ts'
import { skip } from '../support/kernels.ts'
import { gridOf, inSlabs } from '../support/nifti.ts'
import {
  allOf,
  decodedBySpecification,
  drawImage,
  drawLabel,
  drawShape,
  sameBits,
  throughEncoding,
} from '../support/stored.ts'

const { float32, uint8, uint16 } = bytesPerVoxel

async function back(volume: Volume, encoding: 'exact' | 'uint16'): Promise<Float32Array> {
  return materialise(throughEncoding(volume, encoding))
}

async function decoded(volume: Volume, encoding: 'exact' | 'uint16'): Promise<Float32Array> {
  const voxels: number[] = []
  for await (const chunk of encode(volume, encoding)) voxels.push(...(await decodeChunk(chunk, volume.grid)))
  return Float32Array.from(voxels)
}

function planeOf(values: readonly number[]): Volume {
  return residentVolume(gridOf([values.length, 1, 1]), Float32Array.from(values))
}

t.test('"exact" gives back every bit, of labels in a quarter of the bytes', { skip }, async t => {
  for (let i = 0; i < 40; i++) {
    const draws = rng(1, i, 0, 'exact')
    const shape = drawShape(draws)
    const [image, label] = [drawImage(draws, shape), drawLabel(draws, shape)]
    for (const volume of [image, label]) {
      const chunks = await allOf(encode(volume, 'exact'))
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
      t.ok(sameBits(await decoded(volume, 'exact'), volume.resident!), shape.join(' x '))
      t.ok(bytes <= mostBytes(volume.grid, 'exact'))
      if (volume === label) t.equal(bytes, uint8 * voxelCount(label.grid))
    }
  }
})

t.test('what is no whole number of 0 to 255 is kept as float32, with its bits', { skip }, async t => {
  for (const odd of [-0, 0.5, 255.00002, 256, -1, 1e30, -1e30, NaN, Infinity, -Infinity, 1e-45]) {
    const volume = planeOf([0, 1, 255, odd])
    const [chunk] = await allOf(encode(volume, 'exact'))
    t.equal(chunk!.as, 'float32', String(odd))
    t.ok(sameBits(await decoded(volume, 'exact'), volume.resident!), String(odd))
  }
  const [chunk] = await allOf(encode(planeOf([0, 1, 254, 255]), 'exact'))
  t.equal(chunk!.as, 'uint8')
})

t.test('one voxel that does not fit widens its chunk only, and nothing is pulled twice', { skip }, async t => {
  const grid = gridOf([1024, 512, 6])
  t.equal(chunkPlanes(grid), 2)
  const voxels = new Float32Array(voxelCount(grid)).fill(3)
  voxels[3 * 1024 * 512 + 17] = 0.25
  const volume = inSlabs(residentVolume(grid, voxels), 1)
  const chunks = await allOf(encode(volume, 'exact'))
  t.same(
    chunks.map(({ z, planes, as, bytes }) => [z, planes, as, bytes.length]),
    [
      [0, 2, 'uint8', 2 * 1024 * 512 * uint8],
      [2, 2, 'float32', 2 * 1024 * 512 * float32],
      [4, 2, 'uint8', 2 * 1024 * 512 * uint8],
    ],
  )
  t.equal(volume.ends, 1)
})

t.test('16 bits: off by at most half a step, plane by plane; least and greatest come back', { skip }, async t => {
  let largest = 0
  for (let i = 0; i < 60; i++) {
    const draws = rng(1, i, 0, 'uint16')
    const shape = drawShape(draws)
    const grid = gridOf(shape)
    const plane = shape[0] * shape[1]
    const [scale, shift] = [10 ** (draws.integer(60) - 30), (draws.uniform() - 0.5) * 10 ** draws.integer(6)]
    const voxels = Float32Array.from({ length: voxelCount(grid) }, () => scale * (draws.normal() + shift))
    const volume = residentVolume(grid, voxels)
    const chunks = await allOf(encode(volume, 'uint16'))
    t.equal(chunks[0]!.bytes.length + chunks[0]!.scales!.byteLength, mostBytes(grid, 'uint16'))
    const found = await decoded(volume, 'uint16')
    t.ok(sameBits(found, decodedBySpecification(chunks[0]!, plane)), 'as the comment says')
    for (let z = 0; z < shape[2]; z++) {
      const [wanted, got] = [voxels, found].map(all => all.subarray(z * plane, (z + 1) * plane)) as [
        Float32Array,
        Float32Array,
      ]
      const [least, greatest] = [Math.min(...wanted), Math.max(...wanted)]
      // A float32 that steps divide exactly may lie up to 2^-23 above a 65535th of the range.
      const half = ((greatest - least) / 65535 / 2) * (1 + 2 ** -22)
      wanted.forEach((value, k) => {
        const rounding = Math.abs(got[k]!) * 2 ** -24
        const error = Math.max(0, Math.abs(got[k]! - value) - rounding)
        if (half > 0) largest = Math.max(largest, error / half)
        if (error > half || (value === least && got[k] !== least) || (value === greatest && got[k] !== greatest))
          t.fail(`${value} came back as ${got[k]} in a plane of ${least} to ${greatest}`)
      })
    }
  }
  t.comment(`largest error: ${largest} of half a step, beside the rounding to float32`)
  t.ok(largest > 0.9 && largest <= 1)
})

t.test('16 bits of a clipped CT: 0 stays 0, 1 stays 1, the rest is off by 1/131070', { skip }, async t => {
  const image = drawImage(rng(1, 0, 0, 'ct'), [64, 64, 5])
  const found = await back(image, 'uint16')
  let largest = 0
  image.resident!.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(found[i]! - value))
    if (value === 0 && found[i] !== 0) t.fail('0 became another number')
  })
  t.comment(`largest error ${largest}, half a step is ${1 / 131070}`)
  t.ok(largest <= 1 / 131070 + 2 ** -25)
})

t.test('16 bits at the edges of float32', { skip }, async t => {
  for (const [values, exact] of [
    [[5, 5, 5], true],
    [[-1e30, 1e-30, 7], false],
    [[-3.4e38, 0, 3.4e38], false],
    [[0, 1e-45, 3e-45], false],
    [[1, 1 + 2 ** -23, 1], true],
    [[-0, 0], true],
  ] as const) {
    const volume = planeOf(values)
    const found = await decoded(volume, 'uint16')
    const voxels = [...volume.resident!]
    const [least, greatest] = [Math.min(...voxels), Math.max(...voxels)]
    const half = Math.max((greatest - least) / 65535, 2 ** -126) / 2
    voxels.forEach((value, i) => {
      t.ok(Math.abs(found[i]! - value) <= half * (1 + 2 ** -22) + Math.abs(value) * 2 ** -24, `${value}: ${found[i]}`)
      if (exact || value === least || value === greatest) t.equal(found[i]! + 0, value + 0)
    })
  }
  for (const odd of [NaN, Infinity, -Infinity])
    await t.rejects(allOf(encode(planeOf([0, odd]), 'uint16')), { code: 'ERR_VOLUME', message: /finite.*"exact"/ })
})

t.test('chunks do not depend on how the voxels arrived', { skip }, async t => {
  const grid = gridOf([512, 300, 17])
  const draws = rng(1, 0, 0, 'cuts')
  const whole = residentVolume(
    grid,
    Float32Array.from({ length: voxelCount(grid) }, () => draws.uniform()),
  )
  for (const encoding of ['exact', 'uint16'] as const) {
    const expected = await allOf(encode(whole, encoding))
    t.same(
      expected.map(({ planes }) => planes),
      [6, 6, 5],
    )
    for (const planes of [1, 4, 6, 7, 16]) {
      const found = await allOf(encode(inSlabs(whole, planes), encoding))
      t.ok(
        found.length === 3 && found.every((chunk, i) => Buffer.from(chunk.bytes).equals(expected[i]!.bytes)),
        `${encoding}, ${planes} planes at a time`,
      )
    }
  }
  t.equal(uint16, 2)
})

t.test('a volume that ends early or skips planes is a bug that is seen', { skip }, async t => {
  const grid: Grid = gridOf([4, 4, 3])
  const pieces = (...zs: number[]): Volume =>
    lazyVolume(grid, async function* () {
      for (const z of zs) yield { z, planes: 1, voxels: new Float32Array(16) }
    })
  await t.rejects(allOf(encode(pieces(0, 1), 'exact')), { message: /expected 3 planes, found 2/ })
  await t.rejects(allOf(encode(pieces(0, 2), 'exact')), { message: /out of order/ })
})
