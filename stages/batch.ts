/** Patches become batches for the engine. */

import type { FromSchema } from 'json-schema-to-ts'
import { copyVoxels } from '../imaging/patch.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Batch } from '../pipeline/engine.ts'
import type { Item, Sample } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { described } from './lift.ts'
import { SharedMemory } from './shared-memory.ts'

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
  create(options) {
    const memory = new SharedMemory()
    return described([`batch(${options.size})`, 'map'], source =>
      source.batch(options.size).map((patches): Item => collate(patches as Sample[], memory)),
    )
  },
  standing(options, standing) {
    const [x, y, z] = standing.patch ?? [0, 0, 0]
    // Patches that are gathered, float32 image and label, and the batch that is made of them; a label on its way there.
    const voxels = x * y * z
    return { ...standing, batch: options.size, bytes: standing.bytes + options.size * voxels * (8 + 5) + voxels * 4 }
  },
}

/** Copies patches side by side into shared memory: image (N, z, y, x) float32, label (N, z, y, x) class indices. */
export function collate(patches: readonly Sample[], memory: SharedMemory): Batch {
  const shape = patches[0]!.image!.grid.shape
  const voxels = shape[0] * shape[1] * shape[2]
  for (const patch of patches) sameShape(patch, shape)
  const size = patches.length * voxels
  const buffer = memory.take(size * 5)
  const image = new Float32Array(buffer, 0, size)
  const label = new Uint8Array(buffer, size * 4, size)
  for (const [i, patch] of patches.entries()) {
    copyVoxels(patch.image!, image, i * voxels)
    copyVoxels(patch.label!, label, i * voxels)
  }
  return {
    image,
    label,
    count: patches.length,
    shape,
    cases: patches.map(patch => patch.case.id),
    release: () => memory.give(buffer),
  }
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
