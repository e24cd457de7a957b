/** One optimiser step per batch. What an epoch is, and when to validate, the runner reads from the same options. */

import type { FromSchema } from 'json-schema-to-ts'
import { adamSchema } from '../model/adam.ts'
import { diceCeSchema } from '../model/loss.ts'
import { learningRateAt as scheduledRate, scheduleSchema } from '../model/schedule.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Batch, StepResult } from '../pipeline/engine.ts'
import type { Stage } from '../pipeline/stage.ts'
import { emptyRule, windows } from '../schemas/fragments.ts'
import { perItemAsync } from './lift.ts'

const schema = {
  type: 'object',
  description:
    'Trains the network: one step per batch, validation on whole volumes every few epochs, the best weights kept.',
  additionalProperties: false,
  required: ['kind', 'epochs'],
  properties: {
    kind: { const: 'train' },
    epochs: { type: 'integer', minimum: 1, description: 'passes over the training cases' },
    loss: { ...diceCeSchema, default: { kind: 'dice-ce' } },
    optimizer: { ...adamSchema, default: { kind: 'adam' } },
    schedule: { ...scheduleSchema, default: { kind: 'constant' } },
    validate: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'sliding windows over the validation cases, as the stages before the first random one leave them',
      properties: {
        every: { type: 'integer', minimum: 0, default: 10, description: 'epochs between validations; 0 for none' },
        test: {
          type: 'boolean',
          default: true,
          description: 'score the best weights on the testing cases at the end, where the data set has some',
        },
        emptyRule,
        ...windows,
      },
    },
  },
  examples: [{ kind: 'train', epochs: 2000, validate: { every: 10 } }],
} as const

export type TrainOptions = FromSchema<typeof schema>

/** Batches in flight: one computing, one waiting, so that the engine never waits for a batch that could be ready. */
const ahead = 2

export const train: Stage<TrainOptions> = {
  schema,
  takes: ['batch'],
  gives: 'step',
  random: true,
  create: (_options, context) =>
    perItemAsync<Batch, StepResult>('train', ahead, async batch => {
      if (context.signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
      try {
        return await context.engine().step(batch)
      } finally {
        batch.release?.()
      }
    }),
  standing(_options, standing) {
    const [x, y, z] = standing.patch ?? [0, 0, 0]
    // The batch that is being gathered is the stage's before; the others are with the engine.
    return { ...standing, bytes: standing.bytes + (ahead - 1) * (standing.batch ?? 0) * x * y * z * 5 }
  },
}

/** The learning rate of an epoch, counted from 0. */
export function learningRateAt({ optimizer, schedule }: TrainOptions, epoch: number): number {
  return scheduledRate(schedule, optimizer.learningRate, epoch)
}
