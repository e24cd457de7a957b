/** The loss's options; the computation is engine/ops/dice-cross-entropy.ts. */

import type { FromSchema } from 'json-schema-to-ts'

export const diceCeSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  description: "soft-max Dice plus cross-entropy; the defaults are MONAI's DiceCELoss(softmax=True, to_onehot_y=True)",
  properties: {
    kind: { const: 'dice-ce' },
    squaredPred: {
      type: 'boolean',
      default: false,
      description: 'square the probabilities in the denominator (the published model does)',
    },
    includeBackground: { type: 'boolean', default: true, description: 'count class 0 in the Dice term' },
    jaccard: {
      type: 'boolean',
      default: false,
      description: 'Jaccard index (intersection over union) in place of Dice',
    },
    batch: { type: 'boolean', default: false, description: 'sum over the batch before the ratio is taken' },
    smoothNr: { type: 'number', minimum: 0, default: 1e-5, description: 'added to the numerator' },
    smoothDr: {
      type: 'number',
      minimum: 0,
      default: 1e-5,
      description: 'added to the denominator; 0 divides by zero where a class is absent',
    },
    lambdaDice: { type: 'number', minimum: 0, default: 1, description: 'weight of the Dice term' },
    lambdaCe: { type: 'number', minimum: 0, default: 1, description: 'weight of the cross-entropy' },
  },
  examples: [{ kind: 'dice-ce', squaredPred: true }],
} as const

/** Options with their defaults filled in. */
export type DiceCeOptions = FromSchema<typeof diceCeSchema>

/** As the published model was trained: MONAI's defaults with squared probabilities. */
export const publishedLoss: DiceCeOptions = {
  kind: 'dice-ce',
  squaredPred: true,
  includeBackground: true,
  jaccard: false,
  batch: false,
  smoothNr: 1e-5,
  smoothDr: 1e-5,
  lambdaDice: 1,
  lambdaCe: 1,
}
