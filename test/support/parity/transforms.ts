/** What is done to voxels once they are on their grid: intensities, boxes, padding, mirrors, turns, random patches. */

import { crop } from '../../../imaging/crop.ts'
import { mirrored, turned } from '../../../imaging/patch.ts'
import { foregroundBox } from '../../../imaging/foreground.ts'
import { clip } from '../../../imaging/intensity.ts'
import { openNifti } from '../../../imaging/nifti-read.ts'
import { pad, paddingTo } from '../../../imaging/pad.ts'
import { resample } from '../../../imaging/resample.ts'
import { spacedGrid } from '../../../imaging/spacing.ts'
import { materialise, residentVolume } from '../../../imaging/volume.ts'
import type { Sample } from '../../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../../pipeline/grid.ts'
import type { Augmentation } from '../../../stages/augment.ts'
import type { CropDraw } from '../../../stages/crop.ts'
import { maxDifference } from '../numbers.ts'
import { numpyChain, stagesOf } from '../random-chain.ts'
import { sampleWith } from '../stage.ts'
import { equality, largest, overCases, type Check } from './check.ts'
import { spacingOfReference } from './reading.ts'
import type { RandomResult, References } from './references.ts'

const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

export const transformChecks: readonly Check[] = [
  {
    step: 'clip and scale intensities',
    quantity: 'values',
    unit: 'of the new range',
    tolerance: 1e-6,
    run: references =>
      overCases(references.index.clips, 'ranges', async ({ input, values, min, max, to }) =>
        maxDifference(
          await materialise(clip(volumeOf(references, input), { min, max, to })),
          references.volume(values).voxels,
        ),
      ),
  },
  {
    step: 'crop-foreground',
    quantity: 'first and last planes',
    unit: 'voxels',
    tolerance: 0,
    run: async references => {
      const { crop_foreground: scan, foregrounds = [] } = references.index
      const alone = foregrounds.map(({ input, threshold, margin, start, end }) => ({
        box: () => foregroundBox(volumeOf(references, input), threshold, margin),
        start,
        end,
      }))
      const clipped = async () => (await prefixOf(references)).box
      return overCases(
        [...alone, ...(scan ? [{ box: clipped, ...scan }] : [])],
        'boxes',
        async ({ box, start, end }) => {
          const found = await box()
          const ends = found.start.map((at, axis) => at + found.shape[axis]!)
          return largest([maxDifference(found.start, start), maxDifference(ends, end)])
        },
      )
    },
  },
  ...(['minimum', 'constant', 'edge'] as const).map((mode): Check => ({
    step: `pad, mode ${mode}`,
    quantity: 'voxels, symmetric and at the end',
    unit: 'of the volume',
    tolerance: 0,
    run: references =>
      overCases(
        references.index.pads?.filter(entry => entry.mode === mode),
        'volumes',
        async ({ input, size, method, values }) => {
          const volume = volumeOf(references, input)
          const padded = pad(volume, paddingTo(volume.grid.shape, size as unknown as Shape3, method), mode)
          const expected = references.volume(values)
          return largest([
            equality(padded.grid.shape, expected.shape),
            maxDifference(await materialise(padded), expected.voxels),
          ])
        },
      ),
  })),
  {
    step: 'load to pad',
    quantity: 'image',
    unit: 'of [0, 1]',
    tolerance: 2e-5,
    run: async references => {
      const { prefix } = references.index
      if (!prefix) return undefined
      const { image } = await prefixOf(references)
      const expected = references.volume(prefix.image)
      const difference = largest([
        equality(image.grid.shape, expected.shape),
        maxDifference(await materialise(image), expected.voxels),
      ])
      return { difference, count: '1 scan' }
    },
  },
  {
    step: 'load to pad',
    quantity: 'affine',
    unit: 'mm',
    tolerance: 1e-6,
    run: async references => {
      const { prefix } = references.index
      if (!prefix) return undefined
      const { image } = await prefixOf(references)
      return { difference: maxDifference(image.grid.affine, prefix.affine.flat()), count: '1 scan' }
    },
  },
  {
    step: 'load to pad',
    quantity: 'label: voxels that differ and did not do so after resampling',
    unit: 'voxels',
    tolerance: 0,
    run: async references => {
      const { prefix, resample: resampled } = references.index
      if (!prefix || !resampled) return undefined
      const { label, resampledLabel } = await prefixOf(references)
      const before = differing(await materialise(resampledLabel), references.volume(resampled.label).voxels)
      const after = differing(await materialise(label), references.volume(prefix.label).voxels)
      return { difference: Math.max(0, after - before), count: '1 scan' }
    },
  },
  {
    step: 'positive and negative crop centres',
    quantity: 'centres that differ',
    unit: 'centres',
    tolerance: 0,
    run: async references => {
      const patches = await replayed(references)
      if (!patches) return undefined
      const wrong = patches.filter(({ centre, result }) => maxDifference(centre, result.crop_center) !== 0).length
      return { difference: wrong, count: `${patches.length} crops` }
    },
  },
  {
    step: 'flip',
    quantity: 'voxels',
    unit: 'of the volume',
    tolerance: 0,
    run: references =>
      overCases(references.index.flips, 'axes', ({ input, axis, values }) => {
        const found = mirrored(volumeOf(references, input), axis)
        return maxDifference(found.resident!, references.volume(values).voxels)
      }),
  },
  {
    step: 'rotate90',
    quantity: 'voxels',
    unit: 'of the volume',
    tolerance: 0,
    run: references =>
      overCases(references.index.turns, 'turns', ({ input, turns, values }) => {
        const found = turned(volumeOf(references, input), turns)
        return maxDifference(found.resident!, references.volume(values).voxels)
      }),
  },
  {
    step: 'random flips and turns',
    quantity: 'patches of another shape, with other voxels at the corner or in a row, or with another sum of the label',
    unit: 'patches',
    tolerance: 0,
    run: async references => {
      const patches = await replayed(references)
      if (!patches) return undefined
      const wrong = patches.filter(
        patch =>
          maxDifference([1, ...patch.shape], patch.result.shape) !== 0 ||
          total(patch.label) !== patch.result.label_sum ||
          voxelDifference(patch) > 1e-6,
      ).length
      return { difference: wrong, count: `${patches.length} patches` }
    },
  },
  {
    step: 'intensity shift',
    quantity: 'voxels of the patches that were drawn',
    unit: 'of [0, 1]',
    tolerance: 1e-6,
    run: async references => {
      const patches = await replayed(references)
      if (!patches) return undefined
      const difference = largest(
        patches.map(patch =>
          largest([voxelDifference(patch), Math.abs(total(patch.image) - patch.result.image_sum) / patch.image.length]),
        ),
      )
      return { difference, count: `${patches.filter(({ shift }) => shift !== 0).length} of ${patches.length} shifted` }
    },
  },
]

function volumeOf(references: References, file: string): Volume {
  const { shape, voxels } = references.volume(file)
  return residentVolume({ shape, affine: identity }, voxels)
}

/** The scan through resample, clip, crop and pad, to the size of the reference. */
function prefixOf(references: References) {
  return references.once('prefix', async () => {
    const { source, prefix } = references.index
    const scan = (await openNifti(references.scan(source!.image))).volume
    const grid = spacedGrid(scan.grid, spacingOfReference(references))
    const clipped = clip(resample(scan, grid, 'linear'), { min: -1000, max: 500, to: [0, 1] })
    const box = await foregroundBox(clipped)
    const padding = paddingTo(box.shape, references.array(prefix!.image).shape.slice(-3) as unknown as Shape3)
    const resampledLabel = resample((await openNifti(references.scan(source!.label))).volume, grid, 'nearest')
    return {
      box,
      image: pad(crop(clipped, box), padding, 'minimum'),
      label: pad(crop(resampledLabel, box), padding, 'constant'),
      resampledLabel,
    }
  })
}

/** How many values differ; all of them where the lengths do. */
function differing(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Infinity
  return found.reduce((sum, value, i) => sum + (value === expected[i] ? 0 : 1), 0)
}

interface Patch {
  readonly centre: readonly number[]
  readonly shape: Shape3
  readonly image: Float32Array
  readonly label: Float32Array
  readonly shift: number
  readonly result: RandomResult
}

/** The recorded chain through the stages `crop` and `augment`, drawing as numpy does in MONAI's order. */
function replayed(references: References): Promise<Patch[]> | undefined {
  const { random_chain: chain, prefix } = references.index
  if (!chain || !prefix) return undefined
  return references.once('random chain', async () => {
    const run = numpyChain(stagesOf(chain.compose), chain.seed)
    const sample = sampleWith({ image: volumeOf(references, prefix.image), label: volumeOf(references, prefix.label) })
    const patches: Sample[] = []
    for (let epoch = 0; patches.length < chain.results.length; epoch++)
      patches.push(...(await run([{ ...sample, epoch }])))
    return chain.results.map((result, i): Patch => {
      const { image, label, draws } = patches[i]!
      return {
        centre: (draws['crop'] as CropDraw).centre,
        shape: image!.grid.shape,
        image: image!.resident!,
        label: label!.resident!,
        shift: (draws['augment'] as Augmentation).shift,
        result,
      }
    })
  })
}

/** At the corner and along a row: sums alone would not tell a patch from its mirror image. */
function voxelDifference({ shape, image, result }: Patch): number {
  const row = result.first_row.map((_, x) => image[(5 * shape[1] + 5) * shape[0] + x]!)
  return maxDifference([image[0]!, ...row], [result.corner, ...result.first_row])
}

function total(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0)
}
