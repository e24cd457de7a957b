/** Compares a mask with its reference. */

import type { FromSchema } from 'json-schema-to-ts'
import { expectClasses } from '../imaging/classes.ts'
import { materialise } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Prediction, Sample, Score, Stage, Volume } from '../pipeline/stage.ts'
import { overlap } from '../report/overlap.ts'
import { emptyRule } from '../schemas/fragments.ts'
import { perItemAsync } from './lift.ts'

const schema = {
  type: 'object',
  description: 'Dice, IoU, sensitivity, precision and volumes of the lesion against the reference.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'dice' },
    emptyRule,
    classes: {
      type: 'integer',
      minimum: 2,
      maximum: 256,
      default: 2,
      description: 'number of classes; other values in a mask or label are an error',
    },
    value: {
      type: 'integer',
      minimum: 1,
      maximum: 255,
      default: 1,
      description: 'the class that is compared; all others count as background',
    },
  },
  examples: [{ kind: 'dice' }, { kind: 'dice', emptyRule: 'monai' }],
} as const

export const dice: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['prediction', 'volume'],
  gives: 'score',
  create: options =>
    perItemAsync<Prediction | Sample, Score>('dice', 1, async item => {
      const found =
        'mask' in item ? { grid: item.grid, voxels: item.mask } : await volumeOf(item.prediction, 'prediction')
      const reference = await volumeOf(item.label, 'label')
      sameShape(found, reference)
      expectClasses(found.voxels, options.classes, 'the mask')
      expectClasses(reference.voxels, options.classes)
      const metrics = overlap(found.voxels, reference.voxels, {
        value: options.value ?? 1,
        emptyRule: options.emptyRule,
        voxelMl: voxelMl(found.grid.affine),
      })
      return { case: item.case, metrics }
    }),
}

interface Mask {
  readonly grid: Volume['grid']
  readonly voxels: Float32Array | Uint8Array
}

async function volumeOf(volume: Volume | undefined, key: string): Promise<Mask> {
  if (!volume)
    throw new PipelineError(
      'ERR_DATASET',
      `expected a ${key} to compare with, found none; list one, or put "${key}" into the keys of "load"`,
    )
  return { grid: volume.grid, voxels: await materialise(volume) }
}

function sameShape(found: Mask, reference: Mask): void {
  if (found.grid.shape.every((n, axis) => n === reference.grid.shape[axis])) return
  throw new PipelineError(
    'ERR_GEOMETRY',
    `the mask has ${found.grid.shape.join(' x ')} voxels, the reference ${reference.grid.shape.join(' x ')}; with "invert": true, infer brings its masks back to the scan's own grid`,
  )
}

/** Millilitres in a voxel: the affine's determinant in mm3, over 1000. */
function voxelMl([a, b, c, , d, e, f, , g, h, i]: readonly number[]): number {
  return Math.abs(a! * (e! * i! - f! * h!) - b! * (d! * i! - f! * g!) + c! * (d! * h! - e! * g!)) / 1000
}
