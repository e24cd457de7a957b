import t from 'tap'
import { flip, rotate90 } from '../../imaging/flip-rotate.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'

const shape: Shape3 = [4, 3, 2]
const voxels = volumeOf(gridOf(shape), (x, y, z) => x + 10 * y + 100 * z).resident!

t.test('flips mirror one axis each', async t => {
  for (const axis of [0, 1, 2]) {
    const expected = volumeOf(gridOf(shape), (x, y, z) => {
      const at = [x, y, z]
      at[axis] = shape[axis]! - 1 - at[axis]!
      return at[0]! + 10 * at[1]! + 100 * at[2]!
    }).resident!
    t.same([...flip(voxels, shape, axis)], [...expected])
    t.same([...flip(flip(voxels, shape, axis), shape, axis)], [...voxels])
  }
  t.equal(voxels[1], 1, 'the argument is left alone')
})

t.test("quarter turns are numpy's rot90 in the plane of the first two axes", async t => {
  const turned: Shape3 = [3, 4, 2]
  const [nx, ny] = shape
  t.same(
    [...rotate90(voxels, shape, 1)],
    [...volumeOf(gridOf(turned), (i, j, z) => j + 10 * (ny - 1 - i) + 100 * z).resident!],
  )
  t.same(
    [...rotate90(voxels, shape, 3)],
    [...volumeOf(gridOf(turned), (i, j, z) => nx - 1 - j + 10 * i + 100 * z).resident!],
  )
  t.same([...rotate90(voxels, shape, 2)], [...rotate90(rotate90(voxels, shape, 1), turned, 1)])
  t.same([...rotate90(rotate90(voxels, shape, 1), turned, 3)], [...voxels])
  t.same([...rotate90(voxels, shape, 4)], [...voxels])
  t.same([...rotate90(voxels, shape, -1)], [...rotate90(voxels, shape, 3)])
})
