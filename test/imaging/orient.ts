import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { apply } from '../../imaging/affine.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { axcodesOf, orient, reorient } from '../../imaging/orient.ts'
import { materialise } from '../../imaging/volume.ts'
import type { Grid } from '../../pipeline/grid.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'
import { sharedPath } from '../support/shared.ts'

const all = ['RAS', 'LAS', 'LPS', 'RPI', 'ASL', 'PIR', 'SRA', 'ILP', 'IRP', 'AIL']

t.test('every voxel keeps its place in the world, whichever way the axes are turned', async t => {
  const grid: Grid = gridOf([4, 3, 2], [0.7, 0.8, 2.5], [-5, 6, 7])
  const volume = volumeOf(grid, (x, y, z) => x + 10 * y + 100 * z)
  for (const axcodes of all) {
    const { volume: turned, step } = orient(inSlabs(volume), axcodes)
    t.equal(axcodesOf(turned.grid.affine), axcodes)
    const voxels = await materialise(turned)
    const [nx, ny] = turned.grid.shape
    let wrong = 0
    voxels.forEach((value, i) => {
      const world = apply(turned.grid.affine, i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny)))
      const original = apply(grid.affine, value % 10, Math.floor(value / 10) % 10, Math.floor(value / 100))
      if (maxDifference(world, original) > 1e-9) wrong++
    })
    t.equal(wrong, 0, axcodes)
    t.same(step, axcodes === 'RAS' ? undefined : { kind: 'orient', from: grid, to: turned.grid })
    t.same([...(await materialise(reorient(turned, grid)))], [...volume.resident!], `${axcodes} and back`)
  }
})

t.test('a volume that runs as asked is handed on', async t => {
  const volume = volumeOf(gridOf([2, 2, 2], [-1, -1, 1]), x => x)
  t.equal(orient(volume, 'LPS').volume, volume)
})

t.test('an oblique affine goes to the nearest axes, the strongest first', async t => {
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)]
  t.equal(axcodesOf([c, -s, 0, 0, s, c, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]), 'RAS')
  t.equal(axcodesOf([-c, 0, s, 0, 0, -1, 0, 0, s, 0, c, 0, 0, 0, 0, 1]), 'LPS')
  t.equal(axcodesOf([s, -c, 0, 0, c, s, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1]), 'ALI')
  const [d, e] = [Math.cos(1), Math.sin(1)]
  t.equal(axcodesOf([d, -e, 0, 0, e, d, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]), 'ALS', 'beyond 45 degrees the axes change')
})

t.test('letters that do not name three axes are refused', async t => {
  const volume = volumeOf(gridOf([2, 2, 2]), x => x)
  for (const axcodes of ['RRS', 'RA', 'RASL', 'XYZ', '', 'RLS'])
    t.throws(() => orient(volume, axcodes), { code: 'ERR_DEFINITION' }, axcodes)
})

const folder = sharedPath('data', 'nifti-orientations')
t.test(
  'one image in eight orientations is one image again',
  folder ? {} : { skip: 'shared data not found' },
  async t => {
    let first: Float32Array | undefined
    for (const file of readdirSync(folder!)) {
      const { volume } = await openNifti(join(folder!, file))
      const voxels = await materialise(orient(volume, 'RAS').volume)
      first ??= voxels
      t.equal(maxDifference(voxels, first), 0, `${file}, stored as ${axcodesOf(volume.grid.affine)}`)
    }
  },
)
