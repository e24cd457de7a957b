import t from 'tap'
import type { Shape3 } from '../../pipeline/grid.ts'
import {
  coverageOf,
  importanceMap,
  windowCount,
  windowFor,
  windowPadding,
  windowRows,
  windowStarts,
} from '../../imaging/windows.ts'

const windowsOf = (...args: Parameters<typeof windowRows>): Shape3[] =>
  windowRows(...args).flatMap(({ starts }) => starts)

t.test('starts are those of MONAI', async t => {
  t.same(windowStarts(448, 224, 0.6), [0, 89, 178, 224])
  t.same(windowStarts(60, 32, 0.6), [0, 12, 24, 28])
  t.same(windowStarts(32, 32, 0.6), [0])
  t.same(windowStarts(33, 32, 0.6), [0, 1])
  t.same(windowStarts(10, 4, 0), [0, 4, 6])
  t.same(windowStarts(5, 2, 0.9), [0, 1, 2, 3], 'a step is at least one voxel')
  t.equal(windowsOf([448, 448, 60], [224, 224, 32], 0.6).length, 64)
})

t.test('places are counted without a list of them', async t => {
  for (const image of [16, 17, 30, 100] as const)
    for (const window of [16, 9, 5, 1] as const)
      for (const overlap of [0, 0.25, 0.6, 0.99])
        t.equal(
          windowCount([image, 33, 20], [window, 32, 20], overlap),
          windowsOf([image, 33, 20], [window, 32, 20], overlap).length,
        )
  t.equal(windowCount([1e5, 1e5, 1e5], [1, 1, 1], 0), 1e15)
})

t.test("the step is Python's int(window * (1 - overlap))", async t => {
  // What Python 3 gives for these products, most of them a rounding error beside an integer.
  for (const [window, overlap, step] of [
    [224, 0.6, 89],
    [30, 0.9, 2],
    [20, 0.7, 6],
    [10, 0.9, 1],
    [100, 0.71, 29],
    [48, 0.1, 43],
    [160, 0.35, 104],
    [96, 0.8, 19],
  ] as const) {
    t.equal(windowStarts(1000, window, overlap)[1], step, `${window} at ${overlap}`)
  }
})

t.test('each axis may have its own overlap, and 0 stands for the whole extent', async t => {
  const starts = windowsOf([16, 16, 16], [8, 8, 16], [0, 0.5, 0.9])
  t.same(starts, [
    [0, 0, 0],
    [8, 0, 0],
    [0, 4, 0],
    [8, 4, 0],
    [0, 8, 0],
    [8, 8, 0],
  ])
  t.same(windowFor([125, 30, 14], [0, 48, 0]), [125, 48, 14])
})

t.test('windows come in ascending z and together touch every voxel', async t => {
  const [nx, ny, nz] = [23, 17, 11]
  const seen = new Uint8Array(nx * ny * nz)
  const starts = windowsOf([nx, ny, nz], [8, 8, 4], 0.3)
  let last = 0
  for (const [x, y, z] of starts) {
    t.ok(z >= last)
    last = z
    for (let k = z; k < z + 4; k++)
      for (let j = y; j < y + 8; j++) seen.fill(1, (k * ny + j) * nx + x, (k * ny + j) * nx + x + 8)
  }
  t.ok(seen.every(value => value === 1))
})

t.test('an image smaller than the window is padded, less in front', async t => {
  t.same(windowPadding([10, 40, 3], [16, 32, 8]), { before: [3, 0, 2], after: [3, 0, 3] })
})

t.test('weights', async t => {
  t.ok(importanceMap([4, 3, 2], 'constant').every(weight => weight === 1))
  const map = importanceMap([8, 6, 4], 'gaussian', 0.25)
  const at = (x: number, y: number, z: number): number => map[(z * 6 + y) * 8 + x]!
  for (const [x, y, z] of [
    [0, 0, 0],
    [3, 2, 1],
    [7, 5, 3],
    [2, 4, 0],
  ] as const) {
    t.ok(Math.abs(at(x, y, z) - bell(x, 8) * bell(y, 6) * bell(z, 4)) < 1e-6)
  }
  const published = importanceMap([224, 224, 32], 'gaussian')
  t.equal(
    published.reduce((least, weight) => Math.min(least, weight)),
    Math.fround(1e-3),
  )
  const clamped =
    published.reduce((count, weight) => count + (weight === Math.fround(1e-3) ? 1 : 0), 0) / published.length
  t.equal(Math.round(clamped * 100), 58, 'percent of the published window that is clamped')
})

function bell(i: number, n: number): number {
  return Math.exp(-((i - (n - 1) / 2) ** 2) / (2 * (0.25 * n) ** 2))
}

t.test('the windows over a voxel are the product of those over its x, y and z', async t => {
  for (const [image, window, overlap, views] of [
    [[9, 7, 6], [4, 3, 2], 0.6, 1],
    [[5, 5, 5], [5, 2, 1], [0, 0.5, 0.75], 4],
    [[1, 8, 3], [1, 3, 3], 0.25, 8],
  ] as [Shape3, Shape3, number | number[], number][]) {
    const [nx, ny, nz] = image
    const counts = new Float32Array(nx * ny * nz)
    for (const [x, y, z] of windowsOf(image, window, overlap))
      for (let i = 0; i < counts.length; i++) {
        const at = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
        if ([x, y, z].every((start, axis) => at[axis]! >= start && at[axis]! < start + window[axis]!))
          counts[i]! += views
      }
    const coverage = coverageOf(image, window, overlap, views)
    const found = counts.map(
      (_, i) => coverage.x[i % nx]! * coverage.y[Math.floor(i / nx) % ny]! * coverage.z[Math.floor(i / (nx * ny))]!,
    )
    t.same(found, counts, image.join('x'))
  }
})
