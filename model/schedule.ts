/** Learning rates as pure functions of the epoch, so that a resumed run needs no state of them. */

import type { FromSchema } from 'json-schema-to-ts'

const warmup = {
  type: 'integer',
  minimum: 0,
  default: 0,
  description: 'epochs of linear rise before the schedule begins; its own epochs count from there',
} as const
const epochs = { type: 'integer', minimum: 1, description: 'epochs from the base rate to the lowest' } as const

export const constantSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  description: 'the base rate throughout',
  properties: { kind: { const: 'constant' }, warmup },
  examples: [{ kind: 'constant', warmup: 5 }],
} as const

export const stepSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'stepSize'],
  description: 'times gamma every stepSize epochs',
  properties: {
    kind: { const: 'step' },
    stepSize: { type: 'integer', minimum: 1, description: 'epochs between two drops' },
    gamma: { type: 'number', exclusiveMinimum: 0, default: 0.1, description: 'factor of a drop' },
    warmup,
  },
  examples: [{ kind: 'step', stepSize: 5000, gamma: 0.1 }],
} as const

export const cosineSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'epochs'],
  description: 'half a cosine down to min, and min from there on',
  properties: {
    kind: { const: 'cosine' },
    epochs,
    min: { type: 'number', minimum: 0, default: 0, description: 'the lowest rate' },
    warmup,
  },
  examples: [{ kind: 'cosine', epochs: 100, min: 1e-6 }],
} as const

export const polynomialSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'epochs'],
  description: 'the base rate times (1 - epoch / epochs) ^ power, then 0',
  properties: {
    kind: { const: 'polynomial' },
    epochs,
    power: { type: 'number', exclusiveMinimum: 0, default: 1, description: '1 falls linearly; 0.9 is common' },
    warmup,
  },
  examples: [{ kind: 'polynomial', epochs: 200, power: 0.9 }],
} as const

/** A schedule, told apart by its kind. */
export const scheduleSchema = {
  type: 'object',
  description: 'how the learning rate changes from epoch to epoch',
  required: ['kind'],
  discriminator: { propertyName: 'kind' },
  oneOf: [constantSchema, stepSchema, cosineSchema, polynomialSchema],
} as const

/** Options with their defaults filled in. */
export type Schedule =
  | FromSchema<typeof constantSchema>
  | FromSchema<typeof stepSchema>
  | FromSchema<typeof cosineSchema>
  | FromSchema<typeof polynomialSchema>

/**
 * The rate in an epoch (from 0). Formulas as PyTorch's StepLR, CosineAnnealingLR (held at its minimum afterwards, where
 * PyTorch's would rise again) and PolynomialLR. In warm-up epoch e of n the rate is base * (e + 1) / (n + 1).
 */
export function learningRateAt(schedule: Schedule, base: number, epoch: number): number {
  if (epoch < schedule.warmup) return (base * (epoch + 1)) / (schedule.warmup + 1)
  const at = epoch - schedule.warmup
  switch (schedule.kind) {
    case 'constant':
      return base
    case 'step':
      return base * schedule.gamma ** Math.floor(at / schedule.stepSize)
    case 'cosine': {
      const turn = Math.cos((Math.PI * Math.min(at, schedule.epochs)) / schedule.epochs)
      return schedule.min + ((base - schedule.min) * (1 + turn)) / 2
    }
    case 'polynomial':
      return base * (1 - Math.min(at, schedule.epochs) / schedule.epochs) ** schedule.power
  }
}
