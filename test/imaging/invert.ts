import t from 'tap'
import { crop, croppedGrid } from '../../imaging/crop.ts'
import { classPlanes, invert } from '../../imaging/invert.ts'
import { orient } from '../../imaging/orient.ts'
import { pad } from '../../imaging/pad.ts'
import { materialise } from '../../imaging/volume.ts'
import type { SpatialStep } from '../../pipeline/grid.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

t.test('orient, crop and pad are undone exactly; what the crop took is zero', async t => {
  const original = volumeOf(gridOf([6, 5, 4], [1, 1, 2], [3, 4, 5]), (x, y, z) => 1 + x + 10 * y + 100 * z)
  const turned = orient(inSlabs(original), 'PSL')
  const box = { start: [1, 0, 2], shape: [3, 4, 3] } as const
  const cut = crop(turned.volume, box)
  const padding = { before: [0, 2, 1], after: [4, 1, 0] } as const
  const padded = pad(cut, padding, 'minimum')
  const steps: SpatialStep[] = [
    turned.step!,
    { kind: 'crop', from: turned.volume.grid, start: box.start, to: croppedGrid(turned.volume.grid, box) },
    { kind: 'pad', from: cut.grid, before: padding.before, to: padded.grid },
  ]
  const back = invert(steps, padded)
  t.same(back.grid, original.grid)
  const voxels = await materialise(back)
  let kept = 0
  voxels.forEach((value, i) => {
    if (value === 0) return
    kept++
    if (value !== original.resident![i]) t.fail(`voxel ${i}: expected ${original.resident![i]}, found ${value}`)
  })
  t.equal(kept, 3 * 4 * 3)
})

t.test('no steps, no change', async t => {
  const volume = volumeOf(gridOf([2, 2, 2]), x => x)
  t.equal(invert([], volume), volume)
})

t.test('the highest value wins, the lower class on a tie', async t => {
  const grid = gridOf([3, 1, 2])
  const maps = [
    [0, 0.5, 0.2, 0.1, 0.4, 0.3],
    [0, 0.5, 0.5, 0.2, 0.3, 0.3],
    [0, 0.5, 0.3, 0.7, 0.3, 0.4],
  ].map(values => inSlabs(volumeOf(grid, (x, _, z) => values[z * 3 + x]!)))
  const planes: number[][] = []
  for await (const plane of classPlanes(maps)) planes.push([...plane])
  t.same(planes, [
    [0, 0, 1],
    [2, 0, 2],
  ])
})

t.test('of two classes the margin tells: what is cut off and what is level is background', async t => {
  const values = [0, 0.1, -0.2, 1e-30, -0, -1]
  const margin = inSlabs(volumeOf(gridOf([3, 1, 2]), (x, _, z) => values[z * 3 + x]!))
  const planes: number[][] = []
  for await (const plane of classPlanes([margin])) planes.push([...plane])
  t.same(planes, [
    [0, 1, 0],
    [1, 0, 0],
  ])
})
