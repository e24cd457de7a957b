/** Enlarges volumes that are smaller than the crops to be taken from them. */

import type { FromSchema } from 'json-schema-to-ts'
import { pad as padVolume, paddingTo } from '../imaging/pad.ts'
import { planPad } from '../imaging/volume-plan.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { keys, withStep, withVolumes } from './keys.ts'
import { perItem } from './lift.ts'
import { withPlannedStep, withPlans } from './plans.ts'

const mode = { enum: ['constant', 'minimum', 'edge'] } as const

const schema = {
  type: 'object',
  description:
    'Pads each axis that is shorter than asked. "constant" adds zeros, "edge" repeats the border, "minimum" the least value of each line.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'pad' },
    size: {
      type: 'array',
      items: { type: 'integer', minimum: 1 },
      minItems: 3,
      maxItems: 3,
      default: [224, 224, 32],
      description: 'least extents along x, y, z, voxels',
    },
    image: { ...mode, default: 'minimum', description: 'what is added to the image' },
    label: { ...mode, default: 'constant', description: 'what is added to masks' },
    method: {
      enum: ['symmetric', 'end'],
      default: 'symmetric',
      description: 'symmetric adds to both ends, the smaller half in front',
    },
    keys: { ...keys, default: ['image', 'label'], description: 'which volumes, where the case has them' },
  },
  examples: [
    { kind: 'pad' },
    { kind: 'pad', size: [224, 224, 32], image: 'minimum', label: 'constant', method: 'symmetric' },
  ],
} as const

export const pad: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options) {
    const size = options.size as unknown as Shape3
    return perItem<Sample, Sample>('pad', sample => {
      const padded = withVolumes(sample, options.keys, (volume, key) =>
        padVolume(
          volume,
          paddingTo(volume.grid.shape, size, options.method),
          key === 'image' ? options.image : options.label,
        ),
      )
      const [from, to] = [sample.image?.grid, padded.image?.grid]
      if (!from || !to || from === to) return padded
      return withStep(padded, { kind: 'pad', from, before: paddingTo(from.shape, size, options.method).before, to })
    })
  },
  plan(options, plan) {
    const size = options.size as unknown as Shape3
    const padded = withPlans(plan, options.keys, (volume, key) => {
      const mode = key === 'image' ? options.image : options.label
      const made = planPad(volume, paddingTo(volume.grid.shape, size, options.method), mode)
      // What is nowhere larger than asked is as large as asked, however small it was.
      const isFilled = volume.grid.shape.every((n, axis) => n <= size[axis]!)
      return made === volume ? volume : { ...made, isExact: volume.isExact || isFilled }
    })
    const [from, to] = [plan.volumes.image?.grid, padded.volumes.image?.grid]
    if (!from || !to || plan.volumes.image === padded.volumes.image) return padded
    const { before } = paddingTo(from.shape, size, options.method)
    return withPlannedStep(padded, { kind: 'pad', from, before, to })
  },
}
