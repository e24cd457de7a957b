/** The published pipeline's channel axis: here a check, because one channel costs nothing. */

import type { FromSchema } from 'json-schema-to-ts'
import type { LoadedVolume } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Stage } from '../pipeline/stage.ts'
import { keys, withVolumes } from './keys.ts'
import { perItem } from './lift.ts'

const schema = {
  type: 'object',
  description:
    'Makes sure that each volume is one channel, (1, x, y, z). With one channel no voxel moves; files with several volumes are refused.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'channel-first' },
    keys: { ...keys, default: ['image', 'label', 'prediction'], description: 'which volumes, where the case has them' },
  },
  examples: [{ kind: 'channel-first' }],
} as const

export const channelFirst: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create: options =>
    perItem<Sample, Sample>('channel-first', sample =>
      withVolumes(sample, options.keys, (volume, key) => {
        const { volumes = 1 } = volume as LoadedVolume
        if (volumes === 1) return volume
        throw new PipelineError(
          'ERR_VOLUME',
          `${sample.case[key] ?? key}: expected one channel, found ${volumes}; networks here have one input channel, so split the file`,
          { volumes },
        )
      }),
    ),
}
