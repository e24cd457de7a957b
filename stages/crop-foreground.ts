/** Cuts empty borders off. */

import type { FromSchema } from 'json-schema-to-ts'
import { crop } from '../imaging/crop.ts'
import { foregroundBox } from '../imaging/foreground.ts'
import { planCrop } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Key, Sample, Stage } from '../pipeline/stage.ts'
import { admitted } from './admit.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItemAsync } from './lift.ts'
import { withBytes, withPlannedStep, withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Crops to the box around everything above a threshold. One pass over the source finds the box; the crop itself is made as it is pulled.',
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
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'volumes being searched at a time' },
  },
  examples: [{ kind: 'crop-foreground' }, { kind: 'crop-foreground', threshold: 0, source: 'image', margin: 4 }],
} as const

export const cropForeground: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options, context) {
    const cropped = async (sample: Sample): Promise<Sample> => {
      const source = sample[options.source]
      if (!source) throw noSource(options.source)
      const box = await foregroundBox(source, options.threshold, options.margin)
      const cut = withVolumes(sample, options.keys, (volume, key) => {
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
    // The search pulls the source, then whoever wants the crop pulls it again.
    const cropped = withPlans(withBytes(plan, source.pulling), options.keys, (volume, key) => {
      const isOther = volume.grid.shape.some((n, axis) => n !== grid.shape[axis])
      if (isOther && volume.isExact && source.isExact) throw otherGrid(key, volume.grid, options.source, grid)
      return planCrop({ ...volume, isExact: false }, { start: [0, 0, 0], shape: volume.grid.shape }, volume.grid)
    })
    const image = options.keys.includes('image') ? plan.volumes.image?.grid : undefined
    return withPlannedStep(cropped, image && { kind: 'crop', from: image, start: [0, 0, 0], to: image })
  },
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
