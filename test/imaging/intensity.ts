import t from 'tap'
import { clip } from '../../imaging/intensity.ts'
import { materialise } from '../../imaging/volume.ts'
import type { ClipOptions } from '../../native/voxels.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

/** Values as a volume that is resident, and as one that streams. */
async function clipped(hu: readonly number[], options: ClipOptions): Promise<Float32Array[]> {
  const volume = volumeOf(gridOf([hu.length, 1, 2]), x => hu[x]!)
  const before = volume.resident!.slice()
  const results = await Promise.all([volume, inSlabs(volume)].map(source => materialise(clip(source, options))))
  if (before.join() !== volume.resident!.join()) throw new Error('the resident voxels have changed')
  return results
}

t.test('the published range', async t => {
  const hu = [-2000, -1000, -999, -250, 0, 499, 500, 3000]
  const expected = Float32Array.from([
    0,
    0,
    Math.fround(1 / 1500),
    0.5,
    Math.fround(1000 / 1500),
    Math.fround(1499 / 1500),
    1,
    1,
  ])
  for (const found of await clipped(hu, { min: -1000, max: 500, to: [0, 1] }))
    t.same([...found], [...expected, ...expected])
})

t.test('every operation is rounded to float32, in order', async t => {
  const { fround } = Math
  const [found] = await clipped([33.3], { min: -160.5, max: 240.25, to: [-1, 1.5] })
  const scaled = fround(fround(fround(33.3) - fround(-160.5)) / fround(400.75))
  t.equal(found![0], fround(fround(scaled * 2.5) + -1))
})
