import t from 'tap'
import { crop } from '../../imaging/crop.ts'
import { pad, paddingTo } from '../../imaging/pad.ts'
import { materialise } from '../../imaging/volume.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

t.test("minimum is numpy's, line by line: checked with numpy", async t => {
  // Rows of the example are axis 0, here y; columns are axis 1, here x.
  const rows = [
    [5, 3, 9],
    [4, 8, 7],
  ]
  const volume = volumeOf(gridOf([3, 2, 1]), (x, y) => rows[y]![x]!)
  const padded = pad(volume, { before: [1, 1, 0], after: [2, 1, 0] }, 'minimum')
  t.same([...(await materialise(padded))], [3, 4, 3, 7, 3, 3, 3, 5, 3, 9, 3, 3, 4, 4, 8, 7, 4, 4, 3, 4, 3, 7, 3, 3])
})

t.test('minimum along z, and corners that are the least of all', async t => {
  const volume = volumeOf(gridOf([2, 2, 2]), (x, y, z) => 10 + x - 2 * y + 4 * z)
  const padded = pad(inSlabs(volume), { before: [0, 0, 1], after: [1, 0, 0] }, 'minimum')
  t.same([...(await materialise(padded))], [10, 11, 10, 8, 9, 8, 10, 11, 10, 8, 9, 8, 14, 15, 14, 12, 13, 12])
})

t.test('edge repeats the border, constant adds its value', async t => {
  const volume = volumeOf(gridOf([2, 1, 2]), (x, _, z) => 1 + x + 2 * z)
  const padding = { before: [1, 0, 0], after: [0, 1, 1] } as const
  t.same(
    [...(await materialise(pad(inSlabs(volume), padding, 'edge')))],
    [1, 1, 2, 1, 1, 2, 3, 3, 4, 3, 3, 4, 3, 3, 4, 3, 3, 4],
  )
  t.same(
    [...(await materialise(pad(inSlabs(volume), padding, 'constant', 7)))],
    [7, 1, 2, 7, 7, 7, 7, 3, 4, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  )
})

t.test('the smaller half goes in front, or all goes to the end; nothing is cut off', async t => {
  t.same(paddingTo([5, 10, 30], [10, 10, 16]), { before: [2, 0, 0], after: [3, 0, 0] })
  t.same(paddingTo([5, 10, 30], [10, 13, 33], 'end'), { before: [0, 0, 0], after: [5, 3, 3] })
})

t.test('the old voxels keep their places, and cropping undoes padding', async t => {
  const volume = volumeOf(gridOf([3, 4, 2], [0.7, 0.8, 2], [1, 2, 3]), (x, y, z) => x + 10 * y + 100 * z)
  const padding = { before: [1, 2, 3], after: [3, 2, 1] } as const
  for (const mode of ['constant', 'edge', 'minimum'] as const) {
    const padded = pad(inSlabs(volume), padding, mode)
    t.same(padded.grid.shape, [7, 8, 6])
    t.same([padded.grid.affine[3], padded.grid.affine[7], padded.grid.affine[11]], [1 - 0.7, 2 - 1.6, 3 - 6])
    const back = crop(padded, { start: padding.before, shape: volume.grid.shape })
    t.same([...(await materialise(back))], [...volume.resident!], mode)
    t.same(
      back.grid.affine.map(value => +value.toFixed(9)),
      volume.grid.affine,
    )
  }
  t.equal(pad(volume, { before: [0, 0, 0], after: [0, 0, 0] }, 'minimum'), volume)
})
