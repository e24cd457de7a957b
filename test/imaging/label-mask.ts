import t from 'tap'
import { expectMask, labelMask, regridMask } from '../../imaging/label-mask.ts'
import { maskOf, maskVoxels } from '../../imaging/mask.ts'
import { residentVolume } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import { gridOf } from '../support/nifti.ts'

const making = { pause: async (): Promise<void> => {} }

t.test('class indices become a mask, anything else is refused by its value', async t => {
  const grid = gridOf([3, 2, 2], [1, 1, 1])
  const values = [0, 1, 2, 2, 0, 0, 255, 1, 0, 0, 0, 3]
  const volume = residentVolume(grid, Float32Array.from(values))
  t.same([...maskVoxels(await labelMask(volume, 256, 'it', making))], values)
  for (const stray of [2, 256, 257, -1, 0.5, NaN, Infinity, 1e9]) {
    const strayed = residentVolume(
      grid,
      Float32Array.from({ length: 12 }, (_, i) => (i === 7 ? stray : 1)),
    )
    await t.rejects(labelMask(strayed, 2, 'it', making), {
      code: 'ERR_LABEL',
      message: `it holds the value ${stray}; expected class indices 0 to 1`,
    })
  }
})

t.test('a mask with more classes than are compared is refused', async t => {
  const mask = maskOf([3, 1, 1], Uint8Array.of(0, 1, 2))
  t.equal(await expectMask(mask, 3, 'it', making.pause), mask)
  await t.rejects(expectMask(mask, 2, 'it', making.pause), { code: 'ERR_LABEL', message: /the value 2/ })
})

/** Each voxel's centre on the other grid, rounded; outside is background. */
function nearest(voxels: Uint8Array, [nx, ny, nz]: Shape3, to: Grid, indexOf: (at: number[]) => number[]): number[] {
  const found: number[] = []
  for (let z = 0; z < to.shape[2]; z++) {
    for (let y = 0; y < to.shape[1]; y++) {
      for (let x = 0; x < to.shape[0]; x++) {
        const [i, j, k] = indexOf([x, y, z]).map(Math.round) as [number, number, number]
        const isInside = i >= 0 && i < nx && j >= 0 && j < ny && k >= 0 && k < nz
        found.push(isInside ? voxels[(k * ny + j) * nx + i]! : 0)
      }
    }
  }
  return found
}

t.test('on another grid every voxel has the nearest class, and what the mask does not cover has none', async t => {
  const shape: Shape3 = [6, 5, 4]
  const draws = rng(2, 0, 0, 'regrid')
  const voxels = Uint8Array.from({ length: 120 }, () => draws.integer(3))
  const mask = maskOf(shape, voxels)
  const from: Grid = { shape, affine: [2, 0, 0, 10, 0, 2, 0, 0, 0, 0, 4, -8, 0, 0, 0, 1] }
  // 0.3 mm off, and larger than the mask on either side; finer along z; running the other way along z.
  const grids: [Grid, (at: number[]) => number[]][] = [
    [
      { shape: [9, 7, 6], affine: [2, 0, 0, 6.3, 0, 2, 0, -2.3, 0, 0, 4, -12.3, 0, 0, 0, 1] },
      ([x, y, z]) => [x! - 1.85, y! - 1.15, z! - 1.075],
    ],
    [
      { shape: [6, 5, 9], affine: [2, 0, 0, 10, 0, 2, 0, 0, 0, 0, 1.5, -8.2, 0, 0, 0, 1] },
      ([x, y, z]) => [x!, y!, (1.5 * z! - 0.2) / 4],
    ],
    [
      { shape: [6, 5, 6], affine: [2, 0, 0, 10, 0, 2, 0, 0, 0, 0, -4, 8.4, 0, 0, 0, 1] },
      ([x, y, z]) => [x!, y!, 4.1 - z!],
    ],
    [
      { shape: [6, 5, 2], affine: [2, 0, 0, 10, 0, 2, 0, 0, 0, 0, 9, -7.6, 0, 0, 0, 1] },
      ([x, y, z]) => [x!, y!, (9 * z! + 0.4) / 4],
    ],
  ]
  for (const [to, indexOf] of grids) {
    const found = await regridMask(mask, from, to, making)
    t.same(found.shape, to.shape)
    t.same([...maskVoxels(found)], nearest(voxels, shape, to, indexOf), to.shape.join(' x '))
  }
})
