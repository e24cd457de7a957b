import t from 'tap'
import { apply, indexMap, multiply } from '../../imaging/affine.ts'
import { isSameGrid, resample } from '../../imaging/resample.ts'
import { spacedGrid } from '../../imaging/spacing.ts'
import { materialise } from '../../imaging/volume.ts'
import type { Grid, Volume } from '../../pipeline/grid.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { maxDifference, normals } from '../support/numbers.ts'

const grid = gridOf([6, 5, 4], [1, 1, 2], [-3, 7, 11])
const ramp = volumeOf(grid, (x, y, z) => x + 10 * y + 100 * z)
const target = spacedGrid(grid, [0.8, 0.8, 5])

t.test("MONAI's worked example, however the source is cut into slabs", async t => {
  for (const planes of [1, 2, 3, 4]) {
    const voxels = await materialise(resample(inSlabs(ramp, planes), target, 'linear'))
    const expected = volumeOf(target, (i, j, k) => 0.8 * i + 8 * j + 250 * k).resident!
    t.ok(maxDifference(voxels, expected) < 1e-4, `${planes} planes a slab`)
  }
})

t.test('nearest takes the nearest voxel, and the even one of two', async t => {
  const voxels = await materialise(resample(inSlabs(ramp), target, 'nearest'))
  const [xs, ys, zs] = [
    [0, 1, 2, 2, 3, 4, 5],
    [0, 1, 2, 2, 3, 4],
    [0, 2],
  ] as const
  t.same([...voxels], [...volumeOf(target, (i, j, k) => xs[i]! + 10 * ys[j]! + 100 * zs[k]!).resident!])
})

t.test('on the way back the border is clamped', async t => {
  const there = resample(ramp, target, 'linear')
  const back = await materialise(resample(there, grid, 'linear'))
  const expected = volumeOf(
    grid,
    (x, y, z) => 0.8 * Math.min(1.25 * x, 6) + 8 * Math.min(1.25 * y, 5) + 250 * Math.min(0.4 * z, 1),
  ).resident!
  t.ok(maxDifference(back, expected) < 1e-4)
  t.ok(Math.abs(back.at(-1)! - 294.8) < 1e-4, 'the corner comes back as what was kept, 294.8 for 345')
})

t.test('the same grid gives the same volume', async t => {
  t.equal(resample(ramp, { shape: grid.shape, affine: [...grid.affine] }, 'linear'), ramp)
  t.equal(isSameGrid(grid, gridOf([6, 5, 4], [1, 1, 2], [-3, 7, 11.001])), true)
  t.equal(isSameGrid(grid, gridOf([6, 5, 4], [1, 1, 2], [-3, 7, 11.1])), false)
  t.equal(isSameGrid(grid, gridOf([6, 5, 3], [1, 1, 2], [-3, 7, 11])), false)
})

/** The definition, voxel by voxel: eight neighbours of a clamped coordinate. */
function byDefinition(volume: Volume, to: Grid): Float32Array {
  const map = indexMap(to, volume.grid)
  const [nx, ny] = volume.grid.shape
  const at = (x: number, y: number, z: number): number => volume.resident![(z * ny + y) * nx + x]!
  return volumeOf(to, (i, j, k) => {
    const position = apply(map, i, j, k).map((p, axis) => Math.min(Math.max(p, 0), volume.grid.shape[axis]! - 1))
    let sum = 0
    for (let corner = 0; corner < 8; corner++) {
      let weight = 1
      const index = position.map((p, axis) => {
        const lower = Math.floor(p)
        const isUpper = (corner >> axis) & 1
        weight *= isUpper ? p - lower : 1 - (p - lower)
        return Math.min(lower + isUpper, volume.grid.shape[axis]! - 1)
      })
      sum += weight * at(index[0]!, index[1]!, index[2]!)
    }
    return sum
  }).resident!
}

t.test('any two grids: aligned, flipped, tilted, turned by a quarter, far outside', async t => {
  const source = gridOf([9, 8, 7], [0.7, 0.9, 2], [-3, 2, 5])
  const noise = normals(9 * 8 * 7, 'resample')
  const volume: Volume = {
    grid: source,
    resident: noise,
    slabs: () => inSlabs(volumeOf(source, (x, y, z) => noise[(z * 8 + y) * 9 + x]!)).slabs(),
  }
  const targets: Record<string, Grid> = {
    finer: gridOf([20, 11, 17], [0.3, 0.6, 0.8], [-3, 2, 5]),
    'one voxel': gridOf([1, 1, 1], [1, 1, 1], [0, 3, 8]),
    flipped: gridOf([9, 8, 9], [-0.7, -0.9, -1.5], [2, 8, 17]),
    tilted: { shape: [9, 8, 7], affine: multiply(turn(0.2), source.affine) },
    'quarter turn': { shape: [9, 8, 7], affine: multiply(turn(Math.PI / 2), source.affine) },
    'more than a quarter': { shape: [9, 8, 7], affine: multiply(turn(2), source.affine) },
    outside: gridOf([3, 3, 3], [1, 1, 1], [100, 100, -100]),
  }
  for (const [name, to] of Object.entries(targets)) {
    const difference = maxDifference(await materialise(resample(volume, to, 'linear')), byDefinition(volume, to))
    t.ok(difference < 1e-6, `${name}: ${difference}`)
    const nearest = await materialise(resample(volume, to, 'nearest'))
    t.ok(
      nearest.every(value => noise.includes(value)),
      `${name}: nearest invents nothing`,
    )
  }
})

t.test('a source is read to its end, so that its damage is noticed, and closed when the reader stops', async t => {
  const source = inSlabs(ramp)
  await materialise(resample(source, gridOf([6, 5, 1], [1, 1, 2], [-3, 7, 11]), 'linear'))
  t.equal(source.ends, 1)
  let closed = false
  const watched: Volume = {
    grid,
    async *slabs() {
      try {
        yield* inSlabs(ramp).slabs()
      } finally {
        closed = true
      }
    },
  }
  const large = gridOf([600, 600, 12], [0.01, 0.01, 0.5], [-3, 7, 11])
  for await (const slab of resample(watched, large, 'linear').slabs()) {
    t.equal(slab.z, 0)
    break
  }
  t.ok(closed)
})

/** A turn about x, and a shift. */
function turn(angle: number): number[] {
  return [1, 0, 0, 0, 0, Math.cos(angle), -Math.sin(angle), 1, 0, Math.sin(angle), Math.cos(angle), 2, 0, 0, 0, 1]
}
