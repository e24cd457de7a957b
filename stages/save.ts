/** Writes masks, each whole or not at all, with a side file that says what they are. */

import { mkdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { writeFile } from 'node:fs/promises'
import type { FromSchema } from 'json-schema-to-ts'
import { writeNifti } from '../imaging/nifti-write.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { notice } from '../pipeline/notice.ts'
import type { Mask, Prediction, Stage } from '../pipeline/stage.ts'
import { perItemAsync } from './lift.ts'
import { withBytes } from './plans.ts'

const schema = {
  type: 'object',
  description: "Writes each mask as <output>/<folder>/<case>.nii.gz, on the prediction's grid, and a .json beside it.",
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'save' },
    folder: {
      type: 'string',
      pattern: '^[A-Za-z0-9_-][A-Za-z0-9._ -]*$',
      default: 'masks',
      description: 'the name of a folder below the output folder',
    },
    parallel: { type: 'integer', minimum: 1, maximum: 16, default: 1, description: 'masks being written at a time' },
  },
  examples: [{ kind: 'save' }],
} as const

export const save: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['prediction'],
  gives: 'prediction',
  create: (options, context) =>
    perItemAsync<Prediction, Prediction>('save', options.parallel, async prediction => {
      const stem = join(context.folder, options.folder, prediction.case.id)
      try {
        mkdirSync(dirname(stem), { recursive: true })
        await writeNifti(`${stem}.nii.gz`, {
          grid: prediction.grid,
          voxels: planesOf(prediction.mask),
          ...(prediction.header && { geometryFrom: prediction.header }),
        })
        await writeFile(`${stem}.json`, `${JSON.stringify(sideFile(prediction), null, 2)}\n`)
      } catch (error) {
        if (error instanceof PipelineError) throw error
        throw new PipelineError(
          'ERR_OUTPUT',
          `${stem}.nii.gz: cannot be written: ${(error as Error).message}`,
          { path: stem },
          { cause: error },
        )
      }
      const files = ['.nii.gz', '.json'].map(ending => relative(context.folder, stem + ending))
      return { ...prediction, files: [...prediction.files, ...files] }
    }),
  // Blocks of a mebibyte before and after the deflater, a few of each on their way.
  plan: (_options, plan) => withBytes(plan, 8 << 20),
}

function sideFile({ case: { id, image }, grid, mask, windows, seconds }: Prediction): object {
  const voxels: Record<string, number> = {}
  for (let z = 0; z < mask.shape[2]; z++) {
    const { from, to, value } = mask.runs(z)
    for (const [i, class_] of value.entries()) voxels[class_] = (voxels[class_] ?? 0) + to[i]! - from[i]!
  }
  return { case: id, image, shape: grid.shape, affine: grid.affine, voxels, windows, seconds, notice }
}

async function* planesOf(mask: Mask): AsyncGenerator<Uint8Array> {
  for (let z = 0; z < mask.shape[2]; z++) yield mask.plane(z)
}
