/** From the file to the grid that the network sees. */

import { apply, indexMap, spacingOf } from '../../../imaging/affine.ts'
import { openNifti } from '../../../imaging/nifti-read.ts'
import { resample } from '../../../imaging/resample.ts'
import { spacedGrid } from '../../../imaging/spacing.ts'
import { materialise, residentVolume } from '../../../imaging/volume.ts'
import type { Grid, Volume } from '../../../pipeline/grid.ts'
import { maxDifference } from '../numbers.ts'
import { equality, largest, overCases, type Check, type Measured } from './check.ts'
import type { References } from './references.ts'

/** A volume to be resampled, and what MONAI made of it. */
interface Resampling {
  readonly image: Volume
  readonly label: Volume
  readonly target: Grid
  readonly affine: readonly number[][]
  readonly resampledImage: string
  readonly resampledLabel: string
}

export const readingChecks: readonly Check[] = [
  {
    step: 'reading',
    quantity: 'affine: sform over qform, the other where the lengths contradict',
    unit: 'mm',
    tolerance: 1e-6,
    run: async references => {
      const headers = await overCases(references.index.reading, 'headers', async ({ file, affine }) =>
        maxDifference((await openNifti(references.path(file))).grid.affine, affine.flat()),
      )
      const { source, native } = references.index
      if (!source || !native) return headers
      const { grid } = await openNifti(references.scan(source.image))
      const difference = largest([
        headers?.difference ?? 0,
        equality(grid.shape, native.shape),
        maxDifference(grid.affine, native.affine.flat()),
      ])
      return { difference, count: headers ? `1 scan and ${headers.count}` : '1 scan' }
    },
  },
  {
    step: 'reading',
    quantity: 'voxels, scaled by slope and intercept',
    unit: 'of the file',
    tolerance: 0,
    run: references =>
      overCases(references.index.reading, 'files', async ({ file, voxels }) =>
        maxDifference(
          await materialise((await openNifti(references.path(file))).volume),
          references.volume(voxels).voxels,
        ),
      ),
  },
  {
    step: 'grid after resampling',
    quantity: 'shape and affine',
    unit: 'mm',
    tolerance: 1e-6,
    run: references =>
      overResamplings(references, async ({ target, affine, resampledImage }) =>
        largest([
          equality(target.shape, references.array(resampledImage).shape.slice(-3)),
          maxDifference(target.affine, affine.flat()),
        ]),
      ),
  },
  {
    step: 'resampling the image',
    quantity: 'intensities, trilinear',
    unit: 'HU',
    tolerance: 0.02,
    run: references =>
      overResamplings(references, async ({ image, target, resampledImage }) =>
        maxDifference(await materialise(resample(image, target, 'linear')), references.volume(resampledImage).voxels),
      ),
  },
  {
    step: 'resampling the label',
    quantity: 'voxels that differ and do not lie halfway between two',
    unit: 'voxels',
    tolerance: 0,
    run: async references => {
      let [halfway, all] = [0, 0]
      const measured = await overResamplings(references, async ({ label, target, resampledLabel }) => {
        const found = await materialise(resample(label, target, 'nearest'))
        const wrong = differing(found, references.volume(resampledLabel).voxels, label.grid, target)
        halfway += wrong.differing - wrong.unexplained
        all += found.length
        return wrong.unexplained
      })
      return measured && { ...measured, count: `${measured.count}; ${halfway} of ${all} voxels differ at exact halves` }
    },
  },
]

/**
 * The spacing that a scan was resampled to. Golden values do not say it: it is the length of the affine's columns, or
 * 0.8 x 0.8 x 5 where that is as near as an axis that is kept may be.
 */
export function spacingOfReference({ index }: References): readonly [number, number, number] {
  const { spacing, affine } = index.resample!
  const found = spacing ?? spacingOf(affine.flat()).map((length, axis) => near(length, [0.8, 0.8, 5][axis]!))
  return found as readonly number[] as readonly [number, number, number]
}

function near(length: number, usual: number): number {
  return Math.abs(length - usual) < 1.001e-3 ? usual : length
}

async function overResamplings(
  references: References,
  compare: (found: Resampling) => Promise<number>,
): Promise<Measured | undefined> {
  return overCases(await resamplingsOf(references), 'volumes', compare)
}

async function resamplingsOf(references: References): Promise<Resampling[]> {
  const { source, resample: scan, resamplings = [] } = references.index
  const alone = resamplings.map((entry): Resampling => {
    const image = references.volume(entry.image)
    const grid: Grid = { shape: image.shape, affine: entry.native_affine.flat() }
    return {
      image: residentVolume(grid, image.voxels),
      label: residentVolume(grid, references.volume(entry.label).voxels),
      target: spacedGrid(grid, entry.spacing as [number, number, number]),
      affine: entry.affine,
      resampledImage: entry.resampled_image,
      resampledLabel: entry.resampled_label,
    }
  })
  if (!source || !scan) return alone
  const image = (await openNifti(references.scan(source.image))).volume
  const label = (await openNifti(references.scan(source.label))).volume
  const target = spacedGrid(image.grid, spacingOfReference(references))
  return [
    ...alone,
    { image, label, target, affine: scan.affine, resampledImage: scan.image, resampledLabel: scan.label },
  ]
}

/** Voxels where two nearest-neighbour samplings differ, and those of them that do not lie halfway between voxels. */
function differing(
  found: Float32Array,
  expected: Float32Array,
  source: Grid,
  target: Grid,
): { differing: number; unexplained: number } {
  if (found.length !== expected.length) return { differing: Infinity, unexplained: Infinity }
  let [all, unexplained] = [0, 0]
  const map = indexMap(target, source)
  const [nx, ny] = target.shape
  for (let i = 0; i < found.length; i++) {
    if (found[i] === expected[i]) continue
    all++
    const at = apply(map, i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny)))
    const isHalf = at.some(coordinate => Math.abs((((coordinate % 1) + 1) % 1) - 0.5) < 1e-6)
    if (!isHalf) unexplained++
  }
  return { differing: all, unexplained }
}
