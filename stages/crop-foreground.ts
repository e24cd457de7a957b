/** Cuts empty borders off. */

import type { FromSchema } from 'json-schema-to-ts'
import { crop } from '../imaging/crop.ts'
import { foregroundBox } from '../imaging/foreground.ts'
import { lazyVolume, materialise, residentVolume } from '../imaging/volume.ts'
import { planCrop, planStored, wholeBytes } from '../imaging/volume-plan.ts'
import { parseBytes } from '../pipeline/bytes.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Key, Sample } from '../pipeline/flow.ts'
import type { Grid, Volume } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { bytes } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItemAsync } from './lift.ts'
import { withBytes, withPlannedStep, withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Crops to the box around everything above a threshold. One pass over the source finds the box; a source that is too large to be kept is read a second time as the crop is pulled.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'crop-foreground' },
    threshold: {
      type: 'number',
      default: 0,
      description: 'foreground is above this, in the units of the source; after clip, 0 is its lower bound',
    },
    source: { enum: ['image', 'label', 'prediction'], default: 'image', description: 'the volume that is searched' },
    margin: {
      type: 'integer',
      minimum: 0,
      default: 0,
      description: 'voxels to leave around the box, as far as the volume goes',
    },
    keys: { ...keys, default: ['image', 'label'], description: 'which volumes are cropped, where the case has them' },
    keep: {
      ...bytes,
      default: '64MiB',
      description: 'a source of at most so many bytes stays in memory after the search; 0 keeps none',
    },
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'volumes being searched at a time' },
  },
  examples: [{ kind: 'crop-foreground' }, { kind: 'crop-foreground', threshold: 0, source: 'image', margin: 4 }],
} as const

export const cropForeground: Stage<Options> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options, context) {
    const cropped = async (sample: Sample): Promise<Sample> => {
      const found = sample[options.source]
      if (!found) throw noSource(options.source)
      const source = isKept(found, options) ? await kept(found) : found
      const box = await foregroundBox(source, options.threshold, options.margin)
      const cut = withVolumes({ ...sample, [options.source]: source }, options.keys, (volume, key) => {
        if (volume.grid.shape.every((n, axis) => n === source.grid.shape[axis])) return crop(volume, box)
        throw otherGrid(key, volume.grid, options.source, source.grid)
      })
      const [from, to] = [sample.image?.grid, cut.image?.grid]
      return withStep(cut, from && to && from !== to ? { kind: 'crop', from, start: box.start, to } : undefined)
    }
    // Finding the box inflates the scan: from here on the case needs its memory.
    return perItemAsync<Sample, Sample>('crop-foreground', options.parallel, sample =>
      admitted(sample, context, cropped),
    )
  },
  plan(options, plan) {
    const source = plan.volumes[options.source]
    if (!source) throw noSource(options.source)
    const { grid } = source
    // The search pulls the source; whoever wants the crop pulls it again where it is not kept.
    const keeps = source.access === 'slabs' && wholeBytes(grid) <= parseBytes(options.keep)
    const whole = keeps ? wholeBytes(grid) : 0
    const searched = withBytes(plan, source.pulling + whole)
    const volumes = keeps ? { ...plan.volumes, [options.source]: planStored(grid) } : plan.volumes
    const resident = plan.resident + whole
    const cropped = withPlans({ ...searched, volumes, resident }, options.keys, (volume, key) => {
      const isOther = volume.grid.shape.some((n, axis) => n !== grid.shape[axis])
      if (isOther && volume.isExact && source.isExact) throw otherGrid(key, volume.grid, options.source, grid)
      return planCrop({ ...volume, isExact: false }, { start: [0, 0, 0], shape: volume.grid.shape }, volume.grid)
    })
    const image = options.keys.includes('image') ? plan.volumes.image?.grid : undefined
    return withPlannedStep(cropped, image && { kind: 'crop', from: image, start: [0, 0, 0], to: image })
  },
}

type Options = FromSchema<typeof schema>

/** What lies in memory or can be read by region costs little to pull again. */
function isKept({ grid, resident, region }: Volume, { keep }: Options): boolean {
  return !resident && !region && wholeBytes(grid) <= parseBytes(keep)
}

/** The volume with its voxels in memory; a crop of it is a view and no copy. */
async function kept(volume: Volume): Promise<Volume> {
  const voxels = await materialise(volume)
  return { ...volume, slabs: lazyVolume(volume.grid, () => residentVolume(volume.grid, voxels).slabs()).slabs }
}

function noSource(source: Key): PipelineError {
  return new PipelineError(
    'ERR_DATASET',
    `crop-foreground: expected a "${source}" to search, found none in this case`,
    { source },
  )
}

function otherGrid(key: Key, found: Grid, source: Key, expected: Grid): PipelineError {
  return new PipelineError(
    'ERR_GEOMETRY',
    `crop-foreground: expected "${key}" on the grid of "${source}", ${expected.shape.join(' x ')} voxels, found ${found.shape.join(' x ')}; resample both, or take "${key}" out of the keys`,
  )
}
