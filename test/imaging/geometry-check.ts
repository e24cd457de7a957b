import t from 'tap'
import { expectSameGrid, gridDifference } from '../../imaging/geometry-check.ts'
import { gridOf } from '../support/nifti.ts'

const grid = gridOf([100, 100, 50], [0.7, 0.7, 5], [-35, -35, 0])
const names = { expected: 'ct.nii', found: 'mask.nii' }

t.test('rounding of headers is no difference', async t => {
  expectSameGrid(grid, gridOf([100, 100, 50], [0.7 + 1e-7, 0.7, 5], [-35 - 1e-6, -35, 1e-8]), names)
  t.ok(gridDifference(grid, gridOf([100, 100, 50], [0.7 + 1e-7, 0.7, 5], [-35, -35, 0])).farthestMm > 0)
})

t.test('half a voxel, another shape or a flip is one, with its numbers', async t => {
  t.throws(() => expectSameGrid(grid, gridOf([100, 100, 50], [0.7, 0.7, 5], [-34.65, -35, 2.5]), names), {
    code: 'ERR_GEOMETRY',
    message: /mask\.nii: expected the grid of ct\.nii, .* apart|corners up to 0\.35, 0, 2\.5 mm/,
    facts: { perAxisMm: [0.35000000000000142, 0, 2.5] },
  })
  t.throws(() => expectSameGrid(grid, gridOf([100, 100, 49], [0.7, 0.7, 5], [-35, -35, 0]), names), {
    code: 'ERR_GEOMETRY',
    message: /100 x 100 x 50 voxels, found 100 x 100 x 49/,
  })
  t.throws(() => expectSameGrid(grid, gridOf([100, 100, 50], [-0.7, 0.7, 5], [34.3, -35, 0]), names), {
    code: 'ERR_GEOMETRY',
    message: /69\.3, 0, 0 mm/,
  })
  expectSameGrid(grid, gridOf([100, 100, 50], [0.7, 0.7, 5], [-34, -35, 0]), names, 1)
  t.throws(() => expectSameGrid(grid, gridOf([100, 100, 50], [0.7, 0.7, 5], [-33, -35, 0]), names, 1), {
    message: /allowed: 1 mm/,
  })
})
