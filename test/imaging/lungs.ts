import t from 'tap'
import { lungSides, type LungOptions } from '../../imaging/lungs.ts'
import { maskVoxels } from '../../imaging/mask.ts'
import { orient } from '../../imaging/orient.ts'
import type { Grid, Shape3, Volume } from '../../pipeline/grid.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

const shape: Shape3 = [20, 6, 4]
/** RAS+: the patient's right has the larger x. */
const grid: Grid = gridOf(shape, [2, 2, 3], [-19, 0, 0])

async function sidesOf(volume: Volume, options: Partial<LungOptions> = {}): Promise<number[]> {
  const made = await lungSides(inSlabs(volume), {
    values: undefined,
    name: '/scans/lungs.nii.gz',
    scratch: undefined,
    pause: async () => {},
    ...options,
  })
  const voxels = [...maskVoxels(made)]
  made.close()
  return voxels
}

const valuesOf = (volume: Volume): number[] => [...volume.resident!]

t.test('1 is right and 2 is left, where nothing else is said', async t => {
  const usual = volumeOf(grid, x => (x > 12 ? 1 : x < 7 ? 2 : 0))
  t.same(await sidesOf(usual), valuesOf(usual))
  const turned = volumeOf(grid, x => (x > 12 ? 2 : x < 7 ? 1 : 0))
  t.same(await sidesOf(turned), valuesOf(turned), 'values count, not places')
  t.same(await sidesOf(turned, { values: { right: [2], left: [1] } }), valuesOf(usual))
})

t.test('lobes may be listed', async t => {
  const lobes = volumeOf(grid, (x, _y, z) => (x > 12 ? 10 + (z % 3) : x < 7 ? 20 + (z % 2) : 0))
  const sides = await sidesOf(lobes, { values: { right: [10, 11, 12], left: [20, 21] } })
  t.same(
    sides,
    valuesOf(lobes).map(value => Math.floor(value / 10)),
  )
})

/** The right one reaches across the middle in front, and a crumb lies on the left. */
function both(x: number, y: number): number {
  return x > 12 || (y === 5 && x > 8) || (x < 7 && y < 4) || (x === 0 && y === 5) ? 1 : 0
}

t.test('two components of one value are two lungs, on the side on which their centres lie', async t => {
  const volume = volumeOf(grid, both)
  const wanted = volumeOf(grid, (x, y) => (both(x, y) ? (x > 7 ? 1 : 2) : 0))
  t.same(await sidesOf(volume), valuesOf(wanted))
  for (const codes of ['LPS', 'SAR', 'PIL', 'RAS']) {
    const turned = orient(volume, codes).volume
    const expected: number[] = []
    for await (const { voxels } of orient(wanted, codes).volume.slabs()) expected.push(...voxels)
    const all: number[] = []
    for await (const { voxels } of turned.slabs()) all.push(...voxels)
    const resident = { ...turned, resident: Float32Array.from(all) }
    t.same(await sidesOf(resident), expected, codes)
  }
})

t.test('lungs that hang together are split in the middle of their extent', async t => {
  const joined = volumeOf(grid, (x, y) => (x >= 2 && x <= 17 && (y > 2 || x === 10) ? 7 : 0))
  const wanted = valuesOf(volumeOf(grid, x => (x >= 10 ? 1 : 2)))
  t.same(
    await sidesOf(joined),
    valuesOf(joined).map((value, at) => (value ? wanted[at] : 0)),
    'also where the runs cross the plane',
  )
})

t.test('a second component that is a crumb is no lung', async t => {
  const crumb = volumeOf(grid, (x, y, z) => (x >= 2 && x <= 15 ? 1 : x === 19 && y === 0 && z === 0 ? 1 : 0))
  // From 2 to 19: the middle is at 10.5.
  t.same(
    await sidesOf(crumb),
    valuesOf(crumb).map((value, at) => (value ? (at % 20 > 10 ? 1 : 2) : 0)),
  )
})

t.test('with values given, a mask with one of them is one lung', async t => {
  const one = volumeOf(grid, x => (x > 3 ? 2 : 0))
  t.same(await sidesOf(one, { values: { right: [1], left: [2] } }), valuesOf(one))
})

t.test('a mask of nothing has no lungs', async t => {
  const empty = volumeOf(grid, () => 0)
  t.same(await sidesOf(empty), valuesOf(empty))
})

t.test('values that are neither are refused with the value', async t => {
  const strange = volumeOf(grid, x => (x > 12 ? 1 : x < 7 ? 2 : x === 9 ? 3 : 0))
  await t.rejects(sidesOf(strange), {
    code: 'ERR_LABEL',
    message: /lungs.nii.gz: .*right 1 and left 2, found 3 too.*"lungs"/,
  })
  for (const value of [0.5, -1, NaN, 256]) {
    const odd = volumeOf(grid, (x, y, z) => (x === 3 && y === 2 && z === 1 ? value : 0))
    await t.rejects(sidesOf(odd), { code: 'ERR_LABEL', message: new RegExp(`found ${value} at voxel \\(3, 2, 1\\)`) })
  }
})
