/** Brings volumes to a common spacing. */

import type { FromSchema } from 'json-schema-to-ts'
import { resample as sampleOn } from '../imaging/resample.ts'
import { spacedGrid } from '../imaging/spacing.ts'
import { planResample } from '../imaging/volume-plan.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Grid } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItem } from './lift.ts'
import { withPlannedStep, withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Samples the volumes at a given spacing, plane by plane as they are pulled: the image trilinearly, masks by the nearest voxel. The first voxel keeps its place.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'resample' },
    spacing: {
      type: 'array',
      items: { type: 'number', minimum: 0 },
      minItems: 3,
      maxItems: 3,
      default: [0.8, 0.8, 5],
      description: 'mm along x, y, z; 0 keeps the spacing of that axis, as does a difference up to 0.001 mm',
    },
    keys: {
      ...keys,
      default: ['image', 'label'],
      description: 'which volumes, where the case has them; all go to the grid of the first',
    },
  },
  examples: [{ kind: 'resample' }, { kind: 'resample', spacing: [0.8, 0.8, 5], keys: ['image', 'label'] }],
} as const

export const resample: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options) {
    const spacing = options.spacing as unknown as readonly [number, number, number]
    return perItem<Sample, Sample>('resample', sample => {
      let target: Grid | undefined
      const sampled = withVolumes(sample, options.keys, (volume, key) => {
        target ??= spacedGrid(volume.grid, spacing)
        return sampleOn(volume, target, key === 'image' ? 'linear' : 'nearest')
      })
      const [from, to] = [sample.image?.grid, sampled.image?.grid]
      return withStep(sampled, from && to && from !== to ? { kind: 'resample', from, to } : undefined)
    })
  },
  plan(options, plan) {
    const spacing = options.spacing as unknown as readonly [number, number, number]
    let target: Grid | undefined
    const sampled = withPlans(plan, options.keys, (volume, key) => {
      target ??= spacedGrid(volume.grid, spacing)
      return planResample(volume, target, key === 'image' ? 'linear' : 'nearest')
    })
    const [from, to] = [plan.volumes.image?.grid, sampled.volumes.image?.grid]
    return withPlannedStep(sampled, from && to && from !== to ? { kind: 'resample', from, to } : undefined)
  },
}
