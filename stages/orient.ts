/** Turns the axes of the volumes to a common orientation. */

import type { FromSchema } from 'json-schema-to-ts'
import { orient as turn, orientationFromAxcodes } from '../imaging/orient.ts'
import { planOrient } from '../imaging/volume-plan.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { SpatialStep } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItem } from './lift.ts'
import { withPlannedStep, withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Flips and permutes axes, without interpolation, so that they run as asked. The published pipeline has no such stage.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'orient' },
    axcodes: {
      type: 'string',
      pattern: '^[LRPAIS]{3}$',
      default: 'RAS',
      description: 'where x, y and z run to: R(ight) or L(eft), A(nterior) or P(osterior), S(uperior) or I(nferior)',
    },
    keys: { ...keys, default: ['image', 'label', 'prediction'], description: 'which volumes, where the case has them' },
  },
  examples: [{ kind: 'orient' }, { kind: 'orient', axcodes: 'LPS' }],
} as const

export const orient: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options) {
    orientationFromAxcodes(options.axcodes)
    return perItem<Sample, Sample>('orient', sample => {
      let imageStep: SpatialStep | undefined
      const turned = withVolumes(sample, options.keys, (volume, key) => {
        const { volume: result, step } = turn(volume, options.axcodes)
        if (key === 'image') imageStep = step
        return result
      })
      return withStep(turned, imageStep)
    })
  },
  plan(options, plan) {
    const turned = withPlans(plan, options.keys, volume => planOrient(volume, options.axcodes))
    const [from, to] = [plan.volumes.image?.grid, turned.volumes.image?.grid]
    return withPlannedStep(turned, from && to && from !== to ? { kind: 'orient', from, to } : undefined)
  },
}
