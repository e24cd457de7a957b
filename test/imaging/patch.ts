import t from 'tap'
import { copyVoxels, mirrored, shifted, turned } from '../../imaging/patch.ts'
import { materialise, residentVolume } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'

const shape: Shape3 = [4, 3, 2]
const volume = volumeOf(gridOf(shape), (x, y, z) => x + 10 * y + 100 * z)
const values = (found: Volume): number[] => [...found.resident!]

t.test('mirrors turn one axis each around', async t => {
  for (const axis of [0, 1, 2]) {
    const expected = volumeOf(gridOf(shape), (x, y, z) => {
      const at = [x, y, z]
      at[axis] = shape[axis]! - 1 - at[axis]!
      return at[0]! + 10 * at[1]! + 100 * at[2]!
    })
    t.same(values(mirrored(volume, axis)), values(expected))
    t.same(values(mirrored(mirrored(volume, axis), axis)), values(volume))
  }
  t.equal(volume.resident![1], 1, 'the argument is left alone')
})

t.test("quarter turns are numpy's rot90 in the plane of the first two axes", async t => {
  const grid = gridOf([3, 4, 2])
  const [nx, ny] = shape
  t.same(turned(volume, 1).grid.shape, [3, 4, 2])
  t.same(values(turned(volume, 1)), values(volumeOf(grid, (i, j, z) => j + 10 * (ny - 1 - i) + 100 * z)))
  t.same(values(turned(volume, 3)), values(volumeOf(grid, (i, j, z) => nx - 1 - j + 10 * i + 100 * z)))
  t.same(values(turned(volume, 2)), values(turned(turned(volume, 1), 1)))
  t.same(values(turned(turned(volume, 1), 3)), values(volume))
  t.same(values(turned(volume, 4)), values(volume))
  t.same(values(turned(volume, -1)), values(turned(volume, 3)))
})

/** The same without laziness: every change is an array of its own. */
const atOnce = (found: Volume): Volume => residentVolume(found.grid, found.resident!)

t.test('any sequence of changes read at once is that of its changes one by one', async t => {
  for (let i = 0; i < 60; i++) {
    const random = rng(1, 0, i, 'patch')
    const extents = [1, 2, 3].map(() => 1 + random.integer(5)) as unknown as Shape3
    const start = volumeOf(gridOf(extents), () => Math.fround(random.uniform() - 0.5))
    let [whole, stepwise]: Volume[] = [start, start]
    for (let change = 0; change < 6; change++) {
      const what = random.integer(3)
      const by = random.integer(4)
      const offset = random.uniform()
      const apply = (found: Volume): Volume =>
        what === 0 ? mirrored(found, by % 3) : what === 1 ? turned(found, by) : shifted(found, offset)
      whole = apply(whole!)
      stepwise = atOnce(apply(stepwise!))
    }
    const size = extents[0] * extents[1] * extents[2]
    const beside = new Float32Array(size + 2).fill(9)
    copyVoxels(whole!, beside, 1)
    t.same(whole!.grid.shape, stepwise!.grid.shape)
    t.same([...beside], [9, ...values(stepwise!), 9])
    t.same(values(whole!), values(stepwise!))
    t.same(await materialise(whole!), stepwise!.resident)
  }
})

t.test('a shift is rounded to float32 each time, and without one no bit changes', async t => {
  const odd = residentVolume(gridOf([2, 1, 1]), Float32Array.of(-0, 16_777_216))
  t.ok(Object.is(values(mirrored(odd, 0))[1], -0), 'the sign of zero')
  t.same(values(shifted(shifted(odd, 1), 1)), [2, 16_777_216])
  t.same(values(shifted(odd, 2)), [2, 16_777_218])
})

t.test('class indices are copied as such', async t => {
  for (const found of [volume, mirrored(volume, 0), turned(volume, 1)]) {
    const to = new Uint8Array(26)
    copyVoxels(found, to, 2)
    t.same([...to], [0, 0, ...values(found)])
  }
})
