import t from 'tap'
import { distancesAt, distanceTransform } from '../../imaging/distance-transform.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { nearest } from '../reference/surface.ts'
import { awkwardPairs, maskWhere } from '../support/masks.ts'
import { maxDifference } from '../support/numbers.ts'

type Point = [number, number, number]

function pointsOf(mask: Uint8Array, shape: Shape3): Point[] {
  const points: Point[] = []
  maskWhere(shape, (x, y, z) => {
    if (mask[(z * shape[1] + y) * shape[0] + x] !== 0) points.push([x, y, z])
    return false
  })
  return points
}

t.test('a row by hand', async t => {
  const features = Uint8Array.of(0, 0, 1, 0, 0, 0, 7)
  t.same([...distanceTransform(features, [7, 1, 1], [2, 1, 1])], [4, 2, 0, 2, 4, 2, 0])
  t.same([...distanceTransform(features, [1, 7, 1], [1, 2, 1])], [4, 2, 0, 2, 4, 2, 0])
  t.same([...distanceTransform(features, [1, 1, 7], [1, 1, 2])], [4, 2, 0, 2, 4, 2, 0])
})

t.test('three axes at once: 3, 4 and 12 voxels of 1 mm are 13 mm', async t => {
  const shape: Shape3 = [4, 5, 13]
  const features = maskWhere(shape, (x, y, z) => x === 0 && y === 0 && z === 0)
  t.equal(distanceTransform(features, shape, [1, 1, 1]).at(-1), 13)
  t.equal(distanceTransform(features, shape, [2, 1.5, 0.5]).at(-1), Math.hypot(6, 6, 6))
})

t.test('every voxel has the distance of the definition', async t => {
  let largest = 0
  for (const { name, shape, spacing, prediction } of awkwardPairs()) {
    const found = distanceTransform(prediction, shape, spacing)
    const everywhere = pointsOf(new Uint8Array(prediction.length).fill(1), shape)
    const difference = maxDifference(found, nearest(everywhere, pointsOf(prediction, shape), spacing))
    largest = Math.max(largest, difference)
    t.ok(difference < 1e-12, name)
  }
  t.comment(`largest difference ${largest} mm`)
})

t.test('distances at some voxels are those of the whole, in the order of voxels', async t => {
  for (const { name, shape, spacing, prediction, reference } of awkwardPairs()) {
    const all = distanceTransform(prediction, shape, spacing)
    const some = distancesAt(prediction, reference, shape, spacing)
    const expected = all.filter((_, i) => reference[i] !== 0)
    t.equal(maxDifference(some, expected), 0, name)
  }
})

t.test('without a feature everything is infinitely far; wanting nothing gives nothing', async t => {
  const none = new Uint8Array(24)
  t.same(
    [...distanceTransform(none, [2, 3, 4], [1, 1, 1])],
    Array.from({ length: 24 }, () => Infinity),
  )
  t.equal(distancesAt(none.slice().fill(1), none, [2, 3, 4], [1, 1, 1]).length, 0)
})

t.test('more planes than 16 bits count', async t => {
  const planes = 70_000
  const features = new Uint8Array(planes)
  features[0] = 1
  const found = distanceTransform(features, [1, 1, planes], [1, 1, 0.5])
  t.equal(found[planes - 1], (planes - 1) / 2)
  t.equal(found[65_535], 65_535 / 2)
})

t.test('spacings that are none are refused', async t => {
  for (const spacing of [
    [0, 1, 1],
    [1, -1, 1],
    [1, 1, NaN],
    [Infinity, 1, 1],
  ] as const) {
    t.throws(() => distanceTransform(Uint8Array.of(1), [1, 1, 1], spacing), {
      code: 'ERR_VOLUME',
      message: /three positive numbers/,
    })
  }
  t.throws(() => distanceTransform(Uint8Array.of(1, 0), [1, 1, 1], [1, 1, 1]), RangeError)
})
