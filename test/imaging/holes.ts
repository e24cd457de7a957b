import t from 'tap'
import type { Connectivity } from '../../imaging/components.ts'
import { fillHoles } from '../../imaging/holes.ts'
import { maskOf, maskVoxels } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { awkwardVolumes, flood } from '../support/flood.ts'

async function filled(shape: Shape3, voxels: Uint8Array, value: number, connectivity: Connectivity = 26) {
  const made = await fillHoles(maskOf(shape, voxels), value, {
    connectivity,
    scratch: undefined,
    pause: async () => {},
  })
  return made && maskVoxels(made)
}

/** By flooding what is not of the class. */
function expected(shape: Shape3, voxels: Uint8Array, value: number, connectivity: Connectivity): Uint8Array {
  const [nx, ny, nz] = shape
  const rest = voxels.map(each => (each === value ? 0 : 1))
  const result = voxels.slice()
  for (const component of flood(shape, rest, connectivity)) {
    const isOpen = component.some(at => {
      const place = [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))]
      return place.some((i, axis) => i === 0 || i === [nx, ny, nz][axis]! - 1)
    })
    if (!isOpen) for (const at of component) result[at] = value
  }
  return result
}

t.test('holes are what a flood from outside does not reach', async t => {
  let changed = 0
  for (const classes of [2, 4]) {
    for (const { name, shape, voxels } of awkwardVolumes(classes, rng(classes, 0, 0, 'holes'))) {
      for (const connectivity of [6, 18, 26] as const) {
        const wanted = expected(shape, voxels, 1, connectivity)
        const found = await filled(shape, voxels, 1, connectivity)
        const isChanged = Buffer.compare(wanted, voxels) !== 0
        if (isChanged) changed++
        t.same(found, isChanged ? wanted : undefined, `${name}, ${classes} classes, ${connectivity}`)
      }
    }
  }
  t.ok(changed > 12, `${changed} of them had holes`)
})

/** A cube of `outer` from 1 to 5 in 7 x 7 x 7, filled with `inner` from 2 to 4. */
function shell(outer: number, inner: number): Uint8Array {
  return Uint8Array.from({ length: 343 }, (_, at) => {
    const place = [at % 7, Math.floor(at / 7) % 7, Math.floor(at / 49)]
    const within = (low: number): boolean => place.every(i => i >= low && i <= 6 - low)
    return within(2) ? inner : within(1) ? outer : 0
  })
}

t.test('another class inside is overwritten', async t => {
  t.same(await filled([7, 7, 7], shell(1, 2), 1), shell(1, 1))
  t.equal(await filled([7, 7, 7], shell(1, 2), 2), undefined, 'what is around a class is no hole of it')
})

t.test('a hole between two classes stays open, for other classes let the flood through', async t => {
  const voxels = shell(1, 0)
  // One wall of the shell is of class 2.
  for (let at = 0; at < voxels.length; at++) if (voxels[at] === 1 && at % 7 === 1) voxels[at] = 2
  t.equal(await filled([7, 7, 7], voxels, 1), undefined)
  t.equal(await filled([7, 7, 7], voxels, 2), undefined)
})

t.test('a hole that touches the border stays open', async t => {
  const voxels = shell(1, 0)
  voxels[3 + 7 * 3] = 1
  t.ok(await filled([7, 7, 7], voxels, 1))
  // A channel to the first plane.
  voxels[3 + 7 * 3 + 49] = 0
  voxels[3 + 7 * 3] = 0
  t.equal(await filled([7, 7, 7], voxels, 1), undefined)
})

t.test('a leak through a corner is one for 26, not for 6', async t => {
  const voxels = shell(1, 0)
  voxels[1 + 7 + 49] = 0
  t.equal(await filled([7, 7, 7], voxels, 1, 26), undefined)
  t.same(
    await filled([7, 7, 7], voxels, 1, 6),
    Uint8Array.from(shell(1, 1), (each, at) => (at === 57 ? 0 : each)),
  )
})
