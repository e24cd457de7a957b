import t from 'tap'
import { apply } from '../../imaging/affine.ts'
import { maskOf } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import { describeLesions, largestOf, lesionsOf } from '../../report/lesions.ts'
import { describeLungs, lesionsByLung } from '../../report/lung-lesions.ts'
import { awkwardVolumes, flood } from '../support/flood.ts'

const pause = async (): Promise<void> => {}
const affine = [-0.5, 0.1, 0, 10, 0, 2, 0, -20, 0.2, 0, 3, 30, 0, 0, 0, 1]

t.test('voxels, lesions and the largest are those of a flood, and everything has its class', async t => {
  for (const { name, shape, voxels } of awkwardVolumes(4, rng(9, 0, 0, 'lesions'))) {
    const found = await lesionsOf(maskOf(shape, voxels), 4, pause)
    const components = flood(shape, voxels, 26)
    const wanted = [1, 2, 3].map(value => {
      const own = components.filter(([first]) => voxels[first!] === value)
      const [largest] = own.toSorted((a, b) => b.length - a.length)
      return {
        value,
        voxels: own.flat().length,
        lesions: own.length,
        ...(largest && { largest: { voxels: largest.length, first: largest[0] } }),
      }
    })
    t.match(found, wanted, name)
    t.same(
      found.map(({ largest }) => largest !== undefined),
      wanted.map(({ largest }) => largest !== undefined),
    )
  }
})

t.test('volumes are in ml by the determinant, the centre in mm of the world', async t => {
  const voxels = new Uint8Array(4 * 3 * 2)
  for (const at of [0, 1, 2, 12, 13, 14]) voxels[at] = 1
  voxels[11] = 1
  voxels[23] = 2
  const found = await lesionsOf(maskOf([4, 3, 2], voxels), 3, pause)
  const ml = (0.5 * 2 * 3) / 1000
  const told = describeLesions(found, affine) as { totalMl: number; classes: Record<string, { ml: number }> }
  t.match(told, {
    classes: {
      '1': { voxels: 7, lesions: 2, largest: { voxels: 6, centreMm: apply(affine, 1, 0, 0.5) } },
      '2': { voxels: 1, lesions: 1, largest: { voxels: 1, centreMm: apply(affine, 3, 2, 1) } },
    },
  })
  // Of a sheared voxel the volume is no product of spacings.
  t.ok(Math.abs(told.classes['1']!.ml - 7 * ml) < 1e-12, `${told.classes['1']!.ml}`)
  t.ok(Math.abs(told.totalMl - 8 * ml) < 1e-12)
  t.equal(largestOf(found)!.voxels, 6)
})

t.test('nothing is found in nothing', async t => {
  const found = await lesionsOf(maskOf([2, 2, 2], new Uint8Array(8)), 2, pause)
  t.same(describeLesions(found, affine), {
    classes: { '1': { voxels: 0, ml: 0, lesions: 0, largest: null } },
    totalMl: 0,
  })
  t.equal(largestOf(found), undefined)
})

t.test('lesions are counted on the right, on the left and outside', async t => {
  const unit = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 1]
  const sides = maskOf([10, 1, 2], Uint8Array.from([2, 2, 2, 2, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 1, 1, 1]))
  const lesions = maskOf([10, 1, 2], Uint8Array.from([0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]))
  const counted = await lesionsByLung(lesions, sides, pause)
  t.same(counted, { lungs: [4, 8, 8], lesions: [2, 4, 1] })
  t.same(describeLungs(counted, unit), {
    right: { lungMl: 8, lesionMl: 4, lesionShare: 0.5 },
    left: { lungMl: 8, lesionMl: 1, lesionShare: 0.125 },
    outside: { lesionMl: 2 },
  })
  const none = await lesionsByLung(lesions, maskOf([10, 1, 2], new Uint8Array(20)), pause)
  t.match(describeLungs(none, unit), { right: { lungMl: 0, lesionShare: null }, outside: { lesionMl: 7 } })
})
