/** The optimiser's options and the names of its state; the update is engine/ops/adam.ts. */

import type { FromSchema } from 'json-schema-to-ts'

/** PyTorch's. */
const defaults = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const

export const adamSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  description: "Adam (Kingma & Ba, 2015) with PyTorch's defaults",
  properties: {
    kind: { const: 'adam' },
    learningRate: {
      type: 'number',
      exclusiveMinimum: 0,
      default: defaults.learningRate,
      description: 'step size before any schedule',
    },
    beta1: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: defaults.beta1,
      description: 'decay of the mean of gradients',
    },
    beta2: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: defaults.beta2,
      description: 'decay of the mean of squared gradients',
    },
    epsilon: {
      type: 'number',
      exclusiveMinimum: 0,
      default: defaults.epsilon,
      description: 'added to the root in the denominator',
    },
    weightDecay: {
      type: 'number',
      minimum: 0,
      default: defaults.weightDecay,
      description: 'L2 penalty, added to the gradient',
    },
  },
  examples: [{ kind: 'adam', learningRate: 2e-4 }],
} as const

/** Options with their defaults filled in. */
export type AdamOptions = FromSchema<typeof adamSchema>

export const defaultAdam: AdamOptions = { kind: 'adam', ...defaults }

/** Where the optimiser's state lies beside the weights: running mean, running mean of squares, steps done. */
export const adamState = {
  prefix: 'optimizer.',
  expAvg: (name: string): string => `optimizer.exp_avg.${name}`,
  expAvgSq: (name: string): string => `optimizer.exp_avg_sq.${name}`,
  /** A scalar. Exact to 2^24 steps, where float32 stops counting; no bias correction is left long before. */
  step: 'optimizer.step',
} as const
