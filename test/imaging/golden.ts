/** Against values that MONAI 1.3 computed: `make_golden.py` beside them shows how. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { apply, indexMap } from '../../imaging/affine.ts'
import { crop } from '../../imaging/crop.ts'
import { foregroundBox } from '../../imaging/foreground.ts'
import { clipTo } from '../../imaging/intensity.ts'
import { argmaxPlanes, invert } from '../../imaging/invert.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { pad, paddingTo } from '../../imaging/pad.ts'
import { resample } from '../../imaging/resample.ts'
import { spacedGrid } from '../../imaging/spacing.ts'
import { mapSlabs, materialise, residentVolume } from '../../imaging/volume.ts'
import type { Grid, SpatialStep, Volume } from '../../pipeline/stage.ts'
import { readNpy, toVolume } from '../support/npy.ts'
import { maxDifference } from '../support/numbers.ts'
import { sharedPath } from '../support/shared.ts'

interface Index {
  source: { image: string; label: string }
  resample: { affine: number[][]; image: string; label: string }
  crop_foreground: { start: number[]; end: number[] }
  prefix: { image: string; label: string; affine: number[][] }
  native: { shape: number[]; affine: number[][] }
  sliding_window: Record<
    'constant' | 'gaussian',
    { logits: string; native_mask: string; native_lesion_voxels: number; native_probability_lesion_stride4: string }
  >
}

for (const name of ['golden', join('golden', 'oblique')]) {
  const folder = sharedPath(name)
  const options = folder ? {} : { skip: 'shared data not found' }

  t.test(`${name}: the deterministic stages give MONAI's numbers`, options, async t => {
    const index = JSON.parse(readFileSync(join(folder!, 'index.json'), 'utf8')) as Index
    const array = (file: string): { shape: number[]; voxels: Float32Array } => toVolume(readNpy(join(folder!, file)))
    const image = (await openNifti(sharedPath('data', 'ct', index.source.image)!)).volume
    const label = (await openNifti(sharedPath('data', 'ct', index.source.label)!)).volume
    t.same(image.grid.shape, index.native.shape)
    t.ok(maxDifference(image.grid.affine, index.native.affine.flat()) < 1e-6, 'native affine')

    const target = spacedGrid(image.grid, [0.8, 0.8, 5])
    const affineError = maxDifference(target.affine, index.resample.affine.flat())
    t.comment(`affine after resampling: largest difference ${affineError}`)
    t.ok(affineError < 1e-6, 'affine after resampling')
    const expected = array(index.resample.image)
    t.same(target.shape, expected.shape, 'shape after resampling')
    const resampled = resample(image, target, 'linear')
    const difference = maxDifference(await materialise(resampled), expected.voxels)
    t.comment(`resampled image: largest difference ${difference} HU`)
    t.ok(difference < 0.02, 'resampled image')

    const sampledLabel = resample(label, target, 'nearest')
    const labels = await materialise(sampledLabel)
    const wrong = unexplained(labels, array(index.resample.label).voxels, label.grid, target)
    t.comment(`resampled label: ${wrong.differing} voxels differ, ${wrong.unexplained} of them not at exact halves`)
    t.equal(wrong.unexplained, 0, 'labels differ only where two voxels are equally near')

    const clipped = mapSlabs(resampled, voxels => clipTo(voxels, { min: -1000, max: 500, to: [0, 1] }))
    const box = await foregroundBox(clipped)
    t.same(box.start, index.crop_foreground.start, 'foreground start')
    t.same(
      box.start.map((at, axis) => at + box.shape[axis]!),
      index.crop_foreground.end,
      'foreground end',
    )

    const padding = paddingTo(box.shape, [112, 112, 32])
    const prefix = pad(crop(clipped, box), padding, 'minimum')
    const expectedPrefix = array(index.prefix.image)
    t.same(prefix.grid.shape, expectedPrefix.shape, 'shape of the prefix')
    const prefixDifference = maxDifference(await materialise(prefix), expectedPrefix.voxels)
    t.comment(`prefix image: largest difference ${prefixDifference}`)
    t.ok(prefixDifference < 2e-5, 'image of the prefix')
    t.ok(maxDifference(prefix.grid.affine, index.prefix.affine.flat()) < 1e-6, 'affine of the prefix')
    const prefixLabel = await materialise(pad(crop(sampledLabel, box), padding, 'constant'))
    const expectedPrefixLabel = array(index.prefix.label).voxels
    const prefixLabelWrong = prefixLabel.filter((value, i) => value !== expectedPrefixLabel[i]).length
    t.ok(prefixLabelWrong <= wrong.differing, `label of the prefix: ${prefixLabelWrong} voxels differ`)
  })

  t.test(`${name}: probabilities come back to the scan's grid as MONAI's Invertd brings them`, options, async t => {
    const index = JSON.parse(readFileSync(join(folder!, 'index.json'), 'utf8')) as Index
    const image = (await openNifti(sharedPath('data', 'ct', index.source.image)!)).volume
    const spaced = spacedGrid(image.grid, [0.8, 0.8, 5])
    const { start, end } = index.crop_foreground as unknown as {
      start: [number, number, number]
      end: [number, number, number]
    }
    const clipped = mapSlabs(resample(image, spaced, 'linear'), voxels =>
      clipTo(voxels, { min: -1000, max: 500, to: [0, 1] }),
    )
    const cropped = crop(clipped, { start, shape: [end[0] - start[0], end[1] - start[1], end[2] - start[2]] })
    const steps: SpatialStep[] = [
      { kind: 'resample', from: image.grid, to: spaced },
      { kind: 'crop', from: spaced, start, to: cropped.grid },
    ]
    for (const mode of ['constant', 'gaussian'] as const) {
      const entry = index.sliding_window[mode]
      const logits = readNpy(join(folder!, entry.logits))
      const [background, lesion] = [toVolume(logits, 0).voxels, toVolume(logits, 1).voxels]
      const share = lesion.map((value, i) => 1 / (1 + Math.exp(background[i]! - value)))
      const maps = [share.map(p => 1 - p), share].map((voxels): Volume =>
        invert(steps, residentVolume(cropped.grid, voxels)),
      )
      t.same(maps[1]!.grid.shape, index.native.shape)

      const native = await materialise(maps[1]!)
      const sparse = toVolume(readNpy(join(folder!, entry.native_probability_lesion_stride4)))
      const difference = maxDifference(every4th(native, maps[1]!.grid.shape), sparse.voxels)
      t.comment(`${mode}: largest difference of a probability ${difference}`)
      t.ok(difference < 2e-6, `${mode}: probabilities`)

      const mask = toVolume(readNpy(join(folder!, entry.native_mask))).voxels
      let [at, differing, voxels] = [0, 0, 0]
      for await (const plane of argmaxPlanes(maps)) {
        for (const value of plane) {
          if (value !== mask[at++]) differing++
          voxels += value
        }
      }
      t.equal(at, mask.length)
      t.comment(
        `${mode}: ${differing} of ${mask.length} mask voxels differ, ${voxels} lesion voxels, MONAI ${entry.native_lesion_voxels}`,
      )
      t.ok(differing <= 10, `${mode}: mask`)
    }
  })
}

/** Every fourth voxel of each axis. */
function every4th(voxels: Float32Array, [nx, ny, nz]: readonly [number, number, number]): Float32Array {
  const kept: number[] = []
  for (let z = 0; z < nz; z += 4) {
    for (let y = 0; y < ny; y += 4) for (let x = 0; x < nx; x += 4) kept.push(voxels[(z * ny + y) * nx + x]!)
  }
  return Float32Array.from(kept)
}

/** Voxels where two nearest-neighbour samplings differ, and those of them that do not lie halfway between voxels. */
function unexplained(
  found: Float32Array,
  expected: Float32Array,
  source: Grid,
  target: Grid,
): { differing: number; unexplained: number } {
  let [differing, unexplained] = [0, 0]
  const map = indexMap(target, source)
  const [nx, ny] = target.shape
  for (let i = 0; i < found.length; i++) {
    if (found[i] === expected[i]) continue
    differing++
    const at = apply(map, i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny)))
    const isHalf = at.some(coordinate => Math.abs((((coordinate % 1) + 1) % 1) - 0.5) < 1e-6)
    if (!isHalf) unexplained++
  }
  return { differing, unexplained }
}
