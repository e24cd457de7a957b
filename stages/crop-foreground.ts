/** Cuts empty borders off. */

import type { FromSchema } from 'json-schema-to-ts'
import { crop } from '../imaging/crop.ts'
import { foregroundBox } from '../imaging/foreground.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Sample, Stage } from '../pipeline/stage.ts'
import { admitted } from './admit.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItemAsync } from './lift.ts'

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
      if (!source)
        throw new PipelineError(
          'ERR_DATASET',
          `crop-foreground: expected a "${options.source}" to search, found none in this case`,
          { source: options.source },
        )
      const box = await foregroundBox(source, options.threshold, options.margin)
      const cut = withVolumes(sample, options.keys, (volume, key) => {
        if (volume.grid.shape.every((n, axis) => n === source.grid.shape[axis])) return crop(volume, box)
        throw new PipelineError(
          'ERR_GEOMETRY',
          `crop-foreground: expected "${key}" on the grid of "${options.source}", ${source.grid.shape.join(' x ')} voxels, found ${volume.grid.shape.join(' x ')}; resample both, or take "${key}" out of the keys`,
        )
      })
      const [from, to] = [sample.image?.grid, cut.image?.grid]
      return withStep(cut, from && to && from !== to ? { kind: 'crop', from, start: box.start, to } : undefined)
    }
    // Finding the box inflates the scan: from here on the case needs its memory.
    return perItemAsync<Sample, Sample>('crop-foreground', options.parallel, sample =>
      admitted(sample, context, cropped),
    )
  },
}
