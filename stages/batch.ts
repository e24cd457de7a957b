/** Patches become batches for the engine. */

import type { FromSchema } from 'json-schema-to-ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Batch, Item, Sample, Shape3, Stage } from '../pipeline/stage.ts'
import { described } from './lift.ts'

const schema = {
  type: 'object',
  description: 'Groups patches. The last batch of an epoch may be smaller.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'batch' },
    size: {
      type: 'integer',
      minimum: 1,
      maximum: 1024,
      default: 8,
      description: 'patches in a batch (published: 4 scans x 2 crops = 8)',
    },
  },
  examples: [{ kind: 'batch', size: 8 }],
} as const

export const batch: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['patch'],
  gives: 'batch',
  create: options =>
    described([`batch(${options.size})`, 'map'], source =>
      source.batch(options.size).map((patches): Item => collate(patches as Sample[])),
    ),
  standing(options, standing) {
    const [x, y, z] = standing.patch ?? [0, 0, 0]
    // Patches that are gathered, float32 image and label, and the batch that is made of them.
    return { ...standing, batch: options.size, bytes: standing.bytes + options.size * x * y * z * (8 + 5) }
  },
}

/** Copies patches side by side into shared memory: image (N, z, y, x) float32, label (N, z, y, x) class indices. */
export function collate(patches: readonly Sample[]): Batch {
  const shape = patches[0]!.image!.grid.shape
  const voxels = shape[0] * shape[1] * shape[2]
  const image = new Float32Array(new SharedArrayBuffer(patches.length * voxels * 4))
  const label = new Uint8Array(new SharedArrayBuffer(patches.length * voxels))
  for (const [i, patch] of patches.entries()) {
    sameShape(patch, shape)
    image.set(patch.image!.resident!, i * voxels)
    label.set(patch.label!.resident!, i * voxels)
  }
  return { image, label, count: patches.length, shape, cases: patches.map(patch => patch.case.id) }
}

function sameShape(patch: Sample, shape: Shape3): void {
  const found = patch.image!.grid.shape
  if (found.every((n, axis) => n === shape[axis])) return
  throw new PipelineError(
    'ERR_VOLUME',
    `${patch.case.id}: expected a patch of ${shape.join(' x ')} voxels like the others of its batch, found ${found.join(' x ')}; quarter turns need crops with equal x and y`,
    { case: patch.case.id, stage: 'batch' },
  )
}
