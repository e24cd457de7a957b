/** Limits and rescales intensities. */

import type { FromSchema } from 'json-schema-to-ts'
import { clip as clipTo } from '../imaging/intensity.ts'
import { planMap } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Stage } from '../pipeline/stage.ts'
import { withVolumes } from './keys.ts'
import { perItem } from './lift.ts'
import { withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description: 'Limits the intensities of the image to [min, max] and rescales them to [to[0], to[1]], slab by slab.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'clip' },
    min: { type: 'number', default: -1000, description: 'lower bound, in the units of the volume (HU)' },
    max: { type: 'number', default: 500, description: 'upper bound' },
    to: {
      type: 'array',
      items: { type: 'number' },
      minItems: 2,
      maxItems: 2,
      default: [0, 1],
      description: 'what min and max become',
    },
  },
  examples: [{ kind: 'clip' }, { kind: 'clip', min: -1000, max: 500, to: [0, 1] }],
} as const

export const clip: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create({ min, max, to }) {
    const [low, high] = to as unknown as readonly [number, number]
    if (min >= max)
      throw new PipelineError('ERR_DEFINITION', `clip: expected min < max, found ${min} and ${max}`, { min, max })
    if (low >= high)
      throw new PipelineError('ERR_DEFINITION', `clip: expected to[0] < to[1], found ${low} and ${high}`, { to })
    const range = { min, max, to: [low, high] as const }
    return perItem<Sample, Sample>('clip', sample => withVolumes(sample, ['image'], volume => clipTo(volume, range)))
  },
  plan: (_options, plan) => withPlans(plan, ['image'], planMap),
}
