/** Native surface distances are those of a plain transform of the whole box, to the bit, and of the definition. */

import t from 'tap'
import { classBits, classBox } from '../../imaging/class-box.ts'
import { maskOf } from '../../imaging/mask.ts'
import { loadAddon } from '../../native/addon.ts'
import { distancesBetween, emptyBitMask } from '../../native/surface.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { surfaceDistances } from '../../report/surface.ts'
import { nearest, referenceDistances, edgePoints, transformedDistances } from '../reference/surface.ts'
import { skip } from '../support/kernels.ts'
import { awkwardPairs, maskWhere } from '../support/masks.ts'

/** How many values differ in any bit. */
function different(a: Float32Array, b: Float32Array): number {
  return a.length === b.length ? a.reduce((sum, value, i) => sum + (Object.is(value, b[i]) ? 0 : 1), 0) : Infinity
}

/** Noise, or up to three boxes with noise in them. */
function drawMask(draw: Rng, shape: Shape3): Uint8Array {
  const density = [0.003, 0.1, 0.7, 1][draw.integer(4)]!
  const boxes = Array.from({ length: draw.integer(4) }, () =>
    shape.map(n => {
      const from = draw.integer(n)
      return [from, from + 1 + draw.integer(n - from)] as const
    }),
  )
  return maskWhere(shape, (...at) => {
    const isInside =
      boxes.length === 0 || boxes.some(box => box.every(([from, to], axis) => at[axis]! >= from && at[axis]! < to))
    return isInside && draw.uniform() < density
  })
}

const ball =
  (cx: number, cy: number, cz: number, r: number) =>
  (x: number, y: number, z: number): boolean =>
    (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= r * r

t.test('random masks of any shape and spacing: the bits of a whole transform', { skip }, async t => {
  const problems: string[] = []
  let compared = 0
  for (let i = 0; i < 400; i++) {
    const draw = rng(1, i, 0, 'surface')
    // Extents of 1, and both sides of a word of 32 or 64.
    const extent = (): number =>
      [1, 2, 1 + draw.integer(9), 31 + draw.integer(3), 63 + draw.integer(4)][draw.integer(5)]!
    const shape: Shape3 = [extent(), Math.min(extent(), 33), extent()]
    const spacing = [0, 1, 2].map(() => [1, 0.8, 5, 0.05 + 4 * draw.uniform()][draw.integer(4)]!) as [
      number,
      number,
      number,
    ]
    const [prediction, reference] = [drawMask(draw, shape), drawMask(draw, shape)]
    const masks = [prediction, reference].map(mask =>
      maskOf(
        shape,
        mask.map(value => 7 * value || draw.integer(3)),
      ),
    )
    const found = await surfaceDistances(masks[0]!, masks[1]!, { spacing, value: 7 })
    const expected = transformedDistances(prediction, reference, shape, spacing)
    compared += expected.toReference.length + expected.toPrediction.length
    const away =
      different(found.toReference, expected.toReference) + different(found.toPrediction, expected.toPrediction)
    const empty = [prediction, reference].filter(mask => !mask.includes(1)).length
    if (away > 0) problems.push(`case ${i}, ${shape.join('x')} of ${spacing.join(', ')}: ${away} distances`)
    if (found.emptyMasks !== empty) problems.push(`case ${i}: ${found.emptyMasks} empty masks for ${empty}`)
  }
  t.comment(`${compared} distances compared; the largest allowed difference is 0 bits`)
  t.same(problems, [])
})

t.test('distances are those of the definition, on masks of any kind', { skip }, async t => {
  for (const { name, shape, spacing, prediction, reference } of awkwardPairs()) {
    const found = await surfaceDistances(maskOf(shape, prediction), maskOf(shape, reference), { spacing, value: 1 })
    const { toReference, toPrediction } = referenceDistances(prediction, reference, shape, spacing)
    for (const [distances, expected] of [
      [found.toReference, toReference],
      [found.toPrediction, toPrediction],
    ] as const) {
      const ascending = expected.toSorted((a, b) => a - b)
      t.equal(distances.length, ascending.length, name)
      t.ok(
        ascending.every((mm, i) => Math.abs(mm - distances[i]!) <= 1e-6 * mm),
        name,
      )
    }
  }
})

t.test('far from each other, and one voxel off among many that are near', { skip }, async t => {
  const shape: Shape3 = [90, 80, 70]
  const spacing = [0.7, 0.9, 1.3] as const
  const pairs = [
    [ball(10, 10, 10, 8), ball(75, 65, 60, 6)],
    [ball(40, 40, 35, 30), ball(40, 40, 35, 2)],
    [ball(40, 40, 35, 30), ball(42, 39, 36, 29)],
  ] as const
  for (const [a, b] of pairs) {
    const [prediction, reference] = [maskWhere(shape, a), maskWhere(shape, b)]
    prediction[3] = 1
    const found = await surfaceDistances(maskOf(shape, prediction), maskOf(shape, reference), { spacing, value: 1 })
    const expected = transformedDistances(prediction, reference, shape, spacing)
    t.equal(different(found.toReference, expected.toReference), 0)
    t.equal(different(found.toPrediction, expected.toPrediction), 0)
  }
})

t.test('more planes than 16 bits count', { skip }, async t => {
  const shape: Shape3 = [1, 1, 70_000]
  const [first, all] = [new Uint8Array(70_000), new Uint8Array(70_000).fill(1)]
  first[0] = 1
  const found = await surfaceDistances(maskOf(shape, all), maskOf(shape, first), { spacing: [1, 1, 0.5], value: 1 })
  t.equal(found.toReference.length, 70_000)
  t.equal(found.toReference.at(-1), 69_999 / 2)
  t.equal(found.toReference[65_535], 65_535 / 2)
})

t.test('a class is cut out of its mask', { skip }, async t => {
  const shape: Shape3 = [70, 5, 4]
  const mask = maskOf(
    shape,
    maskWhere(shape, (x, y, z) => x >= 3 && x < 69 && y > 0 && z === 2).map((value, i) => (value === 1 ? 2 : i % 2)),
  )
  const box = await classBox([mask], 2)
  t.same(box, { start: [3, 1, 2], shape: [66, 4, 1] })
  t.same([...(await classBits(mask, box!, 2)).words], Array.from({ length: 4 }, () => [-1, -1, 3]).flat())
  t.equal(await classBox([mask, mask], 3), undefined)
  const corner = maskOf(
    shape,
    maskWhere(shape, (x, y, z) => x === 69 && y === 0 && z === 3).map(value => 2 * value),
  )
  t.same(await classBox([corner, mask], 2), { start: [3, 0, 2], shape: [67, 5, 2] })
})

t.test('bits beyond a row are not looked at', { skip }, async t => {
  const [from, to] = [emptyBitMask([3, 2, 2]), emptyBitMask([3, 2, 2])]
  from.words.fill(-1)
  to.words.fill(-8)
  t.same(await distancesBetween(from, to, [1, 1, 1]), new Float32Array(0), 'nothing in the row itself')
  to.words[3] = -8 | 4
  const points = edgePoints(new Uint8Array(12).fill(1), [3, 2, 2], 1)
  const expected = nearest(points, [[2, 1, 1]], [1, 1, 1]).toSorted((a, b) => a - b)
  t.same(await distancesBetween(from, to, [1, 1, 1]), Float32Array.from(expected))
  t.same(await distancesBetween(from, to, [1, 1, 1], 12), Float32Array.from(expected))
  t.equal(await distancesBetween(from, to, [1, 1, 1], 11), 12, 'more than are wanted')
})

t.test('wrong calls are refused before any work', { skip }, async t => {
  const addon = loadAddon()
  const [words, spacing] = [new Int32Array(4), Float64Array.of(1, 1, 1)]
  const call = (...args: unknown[]): Promise<unknown> =>
    (async () => (addon.surfaceDistances as (...args: unknown[]) => unknown)(...args))()
  await t.rejects(call(words, words, [33, 1, 1], spacing), { message: /from has 4 elements, its shape says 2/ })
  await t.rejects(call(words, new Int32Array(3), [64, 2, 1], spacing), { message: /to has 3 elements/ })
  await t.rejects(call(words, words, [64, 2], spacing), { message: /not an array of 3 numbers/ })
  await t.rejects(call(words, words, [64, 0, 2], spacing), { message: /must be a whole number/ })
  await t.rejects(call(words, words, [2 ** 20, 2 ** 20, 1], spacing), { message: /too large/ })
  for (const bad of [0, -1, NaN, Infinity])
    await t.rejects(call(words, words, [64, 2, 1], Float64Array.of(1, bad, 1)), { message: /spacing must be positive/ })
  await t.rejects(call(words, words, [64, 2, 1], [1, 1, 1]), { message: /spacing is not a Float64Array/ })
  const gone = new Int32Array(4)
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  await t.rejects(call(gone, words, [64, 2, 1], spacing), { message: /from has 0 elements/ })
})
