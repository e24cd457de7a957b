import t from 'tap'
import { crop } from '../../imaging/crop.ts'
import { foregroundBox } from '../../imaging/foreground.ts'
import { materialise } from '../../imaging/volume.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

const volume = volumeOf(gridOf([5, 4, 6], [1, 1, 2], [10, 20, 30]), (x, y, z) => x + 10 * y + 100 * z)

t.test('a box keeps its voxels and their places, streamed or resident', async t => {
  const box = { start: [1, 2, 3], shape: [3, 1, 2] } as const
  for (const source of [volume, inSlabs(volume, 1), inSlabs(volume, 4)]) {
    const cut = crop(source, box)
    t.same([...(await materialise(cut))], [321, 322, 323, 421, 422, 423])
    t.same([cut.grid.affine[3], cut.grid.affine[7], cut.grid.affine[11]], [11, 22, 36])
  }
  t.equal(crop(volume, { start: [0, 0, 0], shape: [5, 4, 6] }), volume)
})

t.test('planes after the box are read all the same: damage there is damage', async t => {
  const source = inSlabs(volume)
  await materialise(crop(source, { start: [0, 0, 0], shape: [5, 4, 1] }))
  t.equal(source.ends, 1)
})

t.test('a box outside the volume is refused', async t => {
  for (const [start, shape] of [
    [
      [0, 0, 5],
      [5, 4, 2],
    ],
    [
      [-1, 0, 0],
      [2, 2, 2],
    ],
    [
      [0, 0, 0],
      [0, 1, 1],
    ],
  ] as const) {
    t.throws(() => crop(volume, { start, shape }), { code: 'ERR_VOLUME', message: /inside 5 x 4 x 6/ })
  }
})

t.test('the foreground is what is strictly above the threshold', async t => {
  const spots = volumeOf(gridOf([7, 6, 5]), (x, y, z) =>
    x === 2 && y === 4 && z === 1 ? 1 : x === 5 && y === 1 && z === 3 ? 0.5 : 0,
  )
  for (const planes of [1, 2, 5]) {
    t.same(await foregroundBox(inSlabs(spots, planes)), { start: [2, 1, 1], shape: [4, 4, 3] })
    t.same(await foregroundBox(inSlabs(spots, planes), 0.5), { start: [2, 4, 1], shape: [1, 1, 1] })
    t.same(await foregroundBox(inSlabs(spots, planes), 0, 2), { start: [0, 0, 0], shape: [7, 6, 5] })
  }
  await t.rejects(foregroundBox(spots, 1), { code: 'ERR_VOLUME', message: /found none in 7 x 6 x 5/ })
})
