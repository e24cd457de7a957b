import t from 'tap'
import { axcodesOf } from '../../imaging/orient.ts'
import { roundHalfEven, spacedGrid } from '../../imaging/spacing.ts'
import { gridOf } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'

const published = [0.8, 0.8, 5] as const

t.test('shapes of MONAI for common scans', async t => {
  const rows: [number[], number[], number[]][] = [
    [
      [6, 5, 4],
      [1, 1, 2],
      [7, 6, 2],
    ],
    [
      [512, 512, 300],
      [0.7, 0.7, 1],
      [448, 448, 61],
    ],
    [
      [512, 512, 60],
      [0.7, 0.7, 5],
      [448, 448, 60],
    ],
    [
      [512, 512, 40],
      [0.75, 0.75, 7.5],
      [480, 480, 60],
    ],
    [
      [512, 512, 301],
      [0.80078125, 0.80078125, 1.25],
      [512, 512, 76],
    ],
  ]
  for (const [shape, spacing, expected] of rows) {
    t.same(
      spacedGrid(gridOf(shape as never, spacing), published).shape,
      expected,
      `${shape.join(' x ')} at ${spacing.join(', ')}`,
    )
  }
})

t.test('the first voxel keeps its place and flips stay', async t => {
  const grid = spacedGrid(gridOf([6, 5, 4], [-1, -1, 2], [-3, 7, 11]), published)
  t.same(grid.affine, [-0.8, 0, 0, -3, 0, -0.8, 0, 7, 0, 0, 5, 11, 0, 0, 0, 1])
  t.equal(axcodesOf(grid.affine), 'LPS')
})

t.test('a rotated, flipped grid', async t => {
  const [c, s] = [Math.cos(Math.PI / 18), Math.sin(Math.PI / 18)]
  const affine = [-0.7 * c, 0.7 * s, 0, 4, -0.7 * s, -0.7 * c, 0, 5, 0, 0, 2.5, 6, 0, 0, 0, 1]
  const grid = spacedGrid({ shape: [20, 24, 10], affine }, published)
  t.same(grid.shape, [18, 21, 6])
  t.ok(maxDifference(grid.affine, [-0.8 * c, 0.8 * s, 0, 4, -0.8 * s, -0.8 * c, 0, 5, 0, 0, 5, 6, 0, 0, 0, 1]) < 1e-12)
})

t.test('a spacing within 0.001 mm, or 0, keeps the axis', async t => {
  const grid = spacedGrid(gridOf([10, 10, 10], [0.8008, 0.8011, 1]), [0.8, 0.8, 0])
  t.same(grid.shape, [10, 10, 10])
  t.same([grid.affine[0], grid.affine[5], grid.affine[10]], [0.8008, 0.8, 1])
})

t.test('shear is dropped, and the middles of the boxes coincide', async t => {
  const grid = spacedGrid(
    { shape: [10, 10, 10], affine: [1, -0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] },
    [2, 2, 2],
  )
  const [xy, yx] = [grid.affine[1]!, grid.affine[4]!]
  t.ok(Math.abs(grid.affine[0]! * xy + grid.affine[5]! * yx) < 1e-12, 'columns are at right angles')
  t.ok(Math.abs(middle(grid.shape, grid.affine, 0) - 4) < 1e-12)
  t.ok(Math.abs(middle(grid.shape, grid.affine, 1) - 5) < 1e-12)
})

t.test('halves round to even', async t => {
  t.same(
    [0.5, 1.5, 2.5, 2.4, 2.6, -0.5].map(roundHalfEven),
    [0, 2, 2, 2, 3, -0].map(n => n + 0),
  )
})

/** A world coordinate of the middle of a box of voxels, as MONAI counts it: half the shape. */
function middle(n: readonly number[], a: readonly number[], row: number): number {
  return (a[row * 4]! * n[0]!) / 2 + (a[row * 4 + 1]! * n[1]!) / 2 + (a[row * 4 + 2]! * n[2]!) / 2 + a[row * 4 + 3]!
}
