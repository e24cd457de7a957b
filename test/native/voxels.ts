/** Native loops give the bits of the loops in test/reference, on whatever the arrays lie in. */

import { Worker } from 'node:worker_threads'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadAddon } from '../../native/addon.ts'
import {
  classesOf,
  clip,
  decode,
  mapLabels,
  markCandidates,
  sampleMask,
  samplePlane,
  searchBox,
  storedTypes,
} from '../../native/voxels.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import { sampledByMap } from '../reference/resample.ts'
import { boxAbove, candidateMarks, clipped, decoded, mapped } from '../reference/voxels.ts'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'

type Shape = [number, number, number]

const pick = <T>(draw: Rng, list: readonly T[]): T => list[draw.integer(list.length)]!

/** Room for `length` values in memory of its own, shared, or in the middle of a larger array. */
function room(draw: Rng, length: number): Float32Array {
  const before = draw.integer(3)
  const Memory = draw.integer(2) === 0 ? ArrayBuffer : SharedArrayBuffer
  return new Float32Array(new Memory(4 * (length + before + 1)), 4 * before, length).fill(77)
}

/** Values of a scan; sometimes ugly ones among them. */
function voxels(draw: Rng, length: number): Float32Array {
  const ugly = [NaN, Infinity, -Infinity, -0, 3.4e38, 1e-45]
  const share = draw.integer(3) === 0 ? 0.1 : 0
  const array = room(draw, length)
  for (let i = 0; i < length; i++) array[i] = draw.uniform() < share ? pick(draw, ugly) : 3000 * draw.uniform() - 1000
  return array
}

/** How many values differ, NaN being equal to NaN. */
function different(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity
  return a.reduce((sum, value, i) => sum + (Object.is(value, b[i]) ? 0 : 1), 0)
}

/** Runs `cases` cases and asserts once; `run` says what differs. */
async function agree(
  t: Test,
  name: string,
  cases: number,
  run: (draw: Rng) => Promise<string | undefined>,
): Promise<void> {
  const problems: string[] = []
  for (let i = 0; i < cases; i++) {
    const problem = await run(rng(1, i, 0, name))
    if (problem !== undefined) problems.push(`case ${i}: ${problem}`)
  }
  t.comment(`${name}: ${cases} cases, ${problems.length} with a difference; the largest allowed is 0 bits`)
  t.same(problems, [])
}

t.test('decoding: every type, order, scaling and boundary', { skip }, async t => {
  await agree(t, 'decode', 600, async draw => {
    const type = pick(draw, storedTypes)
    const width = Number(/\d+/.exec(type)![0]) / 8
    // Below, at and above the blocks.
    const count = pick(draw, [0, 1, 7, 100, 2047, 2048, 2049, 5000])
    const offset = draw.integer(9)
    const raw = new Uint8Array(offset + count * width).subarray(offset)
    for (let i = 0; i < raw.length; i++) raw[i] = draw.integer(256)
    const [slope, intercept] = pick(draw, [
      [1, 0],
      [1, -1024],
      [0.1, 0.25],
      [-1e-3, 7],
      [1e30, -1e35],
    ] as const)
    const littleEndian = draw.integer(2) === 0
    const to = room(draw, count)
    const expected = decoded(raw, type, littleEndian, slope, intercept)
    const bad = [...expected.keys()].filter(i => !Number.isFinite(expected[i]!))
    const found = await decode(raw, to, { type, littleEndian, slope, intercept })
    const away = different(to, expected)
    if (away > 0) return `${type}, ${count}, ${slope}: ${away} values`
    const isRight = found.count === bad.length && found.first === (bad[0] ?? -1)
    return isRight ? undefined : `${type}: ${JSON.stringify(found)} for ${bad.length} not finite, first ${bad[0]}`
  })
})

/** A map of index to index that leads near the volume and past its ends. */
function mapFor(draw: Rng, source: Shape, target: Shape, isSeparable: boolean): number[] {
  const map = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  for (let row = 0; row < 3; row++) {
    const scale = ((source[row]! + 2) / target[row]!) * (0.3 + draw.uniform())
    map[row * 5] = pick(draw, [1, 1, 1, -1]) * pick(draw, [scale, scale, 0.5, 1, 2])
    map[row * 4 + 3] = pick(draw, [0, 0.5, -1, source[row]! * draw.uniform()])
    if (!isSeparable) for (let k = 0; k < 3; k++) if (k !== row) map[row * 4 + k] = 0.6 * (draw.uniform() - 0.5)
  }
  return map
}

t.test('resampling: linear and nearest, along the axes and across them', { skip }, async t => {
  await agree(t, 'sample', 400, async draw => {
    const shape = (): Shape => [1 + draw.integer(20), 1 + draw.integer(14), 1 + draw.integer(6)]
    const [source, target] = [shape(), shape()]
    const isSeparable = draw.integer(2) === 0
    const interpolation = pick(draw, ['linear', 'nearest'] as const)
    const map = mapFor(draw, source, target, isSeparable)
    const plane = source[0] * source[1]
    const from = voxels(draw, plane * source[2])
    const planes = Array.from({ length: source[2] }, (_, z) => from.subarray(z * plane, (z + 1) * plane))
    const out = target[0] * target[1]
    const to = room(draw, out * target[2])
    await Promise.all(
      Array.from({ length: target[2] }, (_, z) =>
        samplePlane(
          { map, source, target, interpolation, isSeparable },
          z,
          planes,
          0,
          to.subarray(z * out, (z + 1) * out),
        ),
      ),
    )
    const away = different(to, sampledByMap(from, source, target, map, interpolation, isSeparable))
    return away === 0 ? undefined : `${source} to ${target}, ${interpolation}, separable ${isSeparable}: ${away} voxels`
  })
})

t.test('resampling says which planes it lacks', { skip }, async t => {
  const sampling = {
    map: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1],
    source: [2, 2, 9],
    target: [2, 2],
    interpolation: 'linear',
  } as const
  const [plane, to] = [new Float32Array(4), new Float32Array(4)]
  for (const isSeparable of [true, false]) {
    await samplePlane({ ...sampling, isSeparable }, 2, [plane, plane], 4, to)
    for (const low of [3, 5])
      await t.rejects(samplePlane({ ...sampling, isSeparable }, 2, [plane, plane], low, to), {
        message: `resampling: plane 2 needs more than the planes ${low} to ${low + 1}`,
      })
  }
  const map = Array.from({ length: 16 }, () => NaN)
  await samplePlane({ ...sampling, map, isSeparable: false }, 2, [plane, plane], 0, to)
  t.same([...to], [0, 0, 0, 0], 'a map that is no number leads to voxel 0')
})

t.test('sampling a mask says which planes it lacks, and refuses memory of another size', { skip }, async t => {
  const sampling = {
    map: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1],
    source: [2, 2, 9],
    target: [2, 2],
    interpolation: 'linear',
    isSeparable: true,
  } as const
  const margin = [1, 2, 3, 4].map(value => Float32Array.of(-1, value, -1, -1))
  const to = new Uint8Array(8)
  t.same(await sampleMask(sampling, 1, margin, 2, to), [-1, -1], 'nine bytes for a run are more than four for voxels')
  t.same([...to], [0, 1, 0, 0, 0, 1, 0, 0])
  for (const low of [1, 3])
    await t.rejects(sampleMask(sampling, 1, margin, low, to), {
      message: `sampling a mask: one of planes 1 to 2 needs more than the planes ${low} to ${low + 3}`,
    })
  await t.rejects(sampleMask(sampling, 1, margin, 2, new Uint8Array(7)), RangeError)
  await t.rejects(sampleMask(sampling, 1, [new Float32Array(3)], 2, to), RangeError)
})

t.test('clipping, also in place', { skip }, async t => {
  await agree(t, 'clip', 300, async draw => {
    const from = voxels(draw, draw.integer(200))
    const min = -1000 * draw.uniform()
    const low = draw.uniform() - 0.5
    const options = {
      min,
      max: min + 2000 * draw.uniform() + 1e-3,
      to: [low, low + 2 * draw.uniform() + 1e-3],
    } as const
    const expected = clipped(from, options)
    const to = draw.integer(2) === 0 ? from : room(draw, from.length)
    await clip(from, to, options)
    const away = different(to, expected)
    return away === 0 ? undefined : `${JSON.stringify(options)}: ${away} voxels`
  })
})

t.test('mapping labels: runs, odd values, and the first that has no class', { skip }, async t => {
  await agree(t, 'map', 400, async draw => {
    const known = pick(draw, [
      [0, 1, 2],
      [0, 65535, 65536],
      [-1, 0.5, Infinity],
      [0, 3],
    ])
    const table = new Map(known.map(value => [value, draw.integer(256)]))
    const values = draw.integer(3) === 0 ? [...known, NaN, 7, -0] : known
    const from = room(draw, draw.integer(300))
    let value = known[0]!
    for (let i = 0; i < from.length; i++) {
      if (draw.integer(20) === 0) value = pick(draw, values)
      from[i] = value
    }
    const expected = mapped(from, table)
    const to = draw.integer(2) === 0 ? from : room(draw, from.length)
    const first = await mapLabels(from, to, classesOf(table))
    const away = different(to.subarray(0, expected.to.length), expected.to)
    return first === expected.first && away === 0
      ? undefined
      : `${known}: ${first} for ${expected.first}, ${away} voxels`
  })
})

t.test('the box around what is above a threshold', { skip }, async t => {
  await agree(t, 'box', 300, async draw => {
    const shape: Shape = [1 + draw.integer(20), 1 + draw.integer(10), 1 + draw.integer(6)]
    const from = room(draw, shape[0] * shape[1] * shape[2]).fill(0)
    // 0.1 is no float32: its neighbours lie on either side of it.
    const threshold = pick(draw, [0, 0.1, -1, 1e300, -Infinity, NaN])
    for (let n = draw.integer(4); n > 0; n--)
      from[draw.integer(from.length)] = pick(draw, [1, 0.1, Math.fround(0.1) + 2 ** -27, NaN, -0.5, Infinity])
    const [found, expected] = [await searchBox(from, shape, threshold), boxAbove(from, shape, threshold)]
    const same = JSON.stringify(found) === JSON.stringify(expected)
    return same ? undefined : `${shape}: ${JSON.stringify(found)} for ${JSON.stringify(expected)}`
  })
})

t.test('marks of candidates, and the first label that is no class', { skip }, async t => {
  await agree(t, 'candidates', 300, async draw => {
    const [nx, ny, planes, z] = [1 + draw.integer(40), 1 + draw.integer(9), 1 + draw.integer(4), draw.integer(4)]
    const at = { nx, ny, planes, z, nz: z + planes + draw.integer(4), classes: 3 }
    const label = room(draw, nx * ny * planes)
    const values = draw.integer(4) === 0 ? [0, 1, 3, -1, 0.5, NaN] : [0, 0, 0, -0, 1, 2]
    for (let i = 0; i < label.length; i++) label[i] = pick(draw, values)
    const image = voxels(draw, label.length)
    const threshold = pick(draw, [0, 500, 0.1, -2000])
    const bits = new Uint8Array(2 * nx * Math.ceil((ny * at.nz) / 8))
    const counts = new Float64Array(2 * nx)
    const first = await markCandidates(label, image, at, threshold, bits, counts)
    const expected = candidateMarks(label, image, at, threshold)
    const same =
      first === expected.first && counts.join() === expected.counts.join() && bits.join() === expected.bits.join()
    return same ? undefined : `${JSON.stringify(at)}: ${first} for ${expected.first}, ${counts.join()}`
  })
})

t.test('wrong sizes are refused before any work', { skip }, async t => {
  const four = new Float32Array(4)
  const encoding = { type: 'int16', littleEndian: true, slope: 1, intercept: 0 } as const
  await t.rejects(decode(new Uint8Array(7), four, encoding), { message: /raw has 7 elements, its shape says 8/ })
  await t.rejects(decode(new Uint8Array(8), four, { ...encoding, type: 'int24' as never }), { message: /type must be/ })
  await t.rejects(clip(four, four.subarray(1), { min: 0, max: 1, to: [0, 1] }), { message: /to has 3 elements/ })
  await t.rejects(searchBox(four, [2, 2, 2], 0), { message: /voxels has 4 elements, its shape says 8/ })
  const outside = { nx: 2, ny: 1, planes: 2, z: 1, nz: 2, classes: 2 }
  await t.rejects(markCandidates(four, four, outside, 0, new Uint8Array(4), new Float64Array(4)), {
    message: /leave the volume/,
  })
  const gone = new Float32Array(4)
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  await t.rejects(searchBox(gone, [2, 2, 1], 0), { message: /voxels has 0 elements/ }, 'detached')
  await t.rejects(clip(four, gone, { min: 0, max: 1, to: [0, 1] }), { message: /to has 0 elements/ })
})

t.test('a thread that is ended in the middle of its work leaves the others working', { skip }, async t => {
  const path = join(projectRoot, 'build', 'ctflow.node')
  const code = `
    const addon = require(${JSON.stringify(path)})
    const voxels = new Float32Array(1 << 22)
    const again = () => addon.clip(voxels, voxels, 0, 1, 0, 1).then(again)
    for (let i = 0; i < 6; i++) again()
    require('node:worker_threads').parentPort.postMessage('working')`
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(code, { eval: true })
    await new Promise(resolve => worker.once('message', resolve))
    await worker.terminate()
  }
  const to = new Float32Array(3)
  await clip(Float32Array.of(-1, 0.5, 2), to, { min: 0, max: 1, to: [0, 1] })
  t.same([...to], [0, 0.5, 1])
  t.ok(loadAddon())
})
