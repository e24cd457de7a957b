/** Tidies predicted masks: fills holes, drops small components, keeps the largest. */

import type { FromSchema } from 'json-schema-to-ts'
import { determinant } from '../imaging/affine.ts'
import { marksBytes } from '../imaging/component-marks.ts'
import { minimumVoxels, mostRuns } from '../imaging/components.ts'
import { fillHoles, mostComplementRuns } from '../imaging/holes.ts'
import { keepComponents } from '../imaging/keep-components.ts'
import { maskBytes, type OwnedMask } from '../imaging/mask.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Mask, Prediction } from '../pipeline/flow.ts'
import type { Plan } from '../pipeline/planned.ts'
import type { Context, Stage } from '../pipeline/stage.ts'
import { perItemAsync } from './lift.ts'
import { pauseOf } from './pause.ts'

const schema = {
  type: 'object',
  description:
    'Tidies each class of a predicted mask by its connected components: holes are filled first, then what is small goes, then all but the largest.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'postprocess' },
    fillHoles: {
      type: 'boolean',
      default: false,
      description:
        'whatever a class encloses, other classes too, becomes that class; what reaches a face of the volume is no hole. Classes in ascending order',
    },
    minimumMm3: {
      type: 'number',
      exclusiveMinimum: 0,
      description: 'components of less than this volume become background',
    },
    keepLargest: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      description:
        'of each class only so many components are kept, the largest; of equal ones those that come first in the file',
    },
    connectivity: {
      enum: [6, 18, 26],
      default: 26,
      description:
        'which voxels belong together, in components and in what surrounds a hole: those that share a face, an edge too, or a corner too',
    },
    parallel: { type: 'integer', minimum: 1, maximum: 16, default: 1, description: 'masks at work at a time' },
  },
  examples: [
    { kind: 'postprocess', fillHoles: true, minimumMm3: 10 },
    { kind: 'postprocess', keepLargest: 2, connectivity: 6 },
  ],
} as const

type Options = FromSchema<typeof schema>

export const postprocess: Stage<Options> = {
  schema,
  takes: ['prediction'],
  gives: 'prediction',
  create(options, context) {
    if (!options.fillHoles && options.minimumMm3 === undefined && options.keepLargest === undefined) {
      throw new PipelineError(
        'ERR_DEFINITION',
        'expected one of "fillHoles", "minimumMm3" and "keepLargest", found none of them; without any the stage does nothing',
      )
    }
    return perItemAsync<Prediction, Prediction>('postprocess', options.parallel, async prediction => {
      const mask = await tidied(prediction, options, context)
      prediction.claim?.whenReleased(() => mask.close())
      return { ...prediction, mask }
    })
  },
  plan: planTidied,
}

type Step = (mask: Mask) => Promise<OwnedMask | undefined>

/** A new mask, the steps' one after the other; those in between are closed. */
async function tidied({ mask, grid, classes }: Prediction, options: Options, context: Context): Promise<OwnedMask> {
  const { connectivity } = options
  const shared = { connectivity, scratch: context.scratch, pause: pauseOf(context) }
  const fillings = options.fillHoles ? Array.from({ length: classes - 1 }, (_, i) => i + 1) : []
  const steps: Step[] = fillings.map(value => async mask => fillHoles(mask, value, shared))
  const keep = {
    minimumVoxels: minimumVoxels(options.minimumMm3, Math.abs(determinant(grid.affine))),
    largest: options.keepLargest ?? Infinity,
  }
  steps.push(async mask => keepComponents(mask, keep, shared))
  // The mask that came is the prediction's.
  let made: OwnedMask | undefined
  try {
    for (const step of steps) {
      const next = await step(made ?? mask)
      if (!next) continue
      made?.close()
      made = next
    }
    return made!
  } catch (error) {
    made?.close()
    throw error
  }
}

/**
 * The mask that comes, which is in the plan already, one in between and one being made; and for components what the runs of two
 * planes take, whatever the number of planes: labels are put aside in a file.
 */
function planTidied(options: Options, plan: Plan, { classes }: { readonly classes: number }): Plan {
  const { shape } = plan.volumes.prediction!.grid
  const runs = Math.max(mostRuns(shape, classes), options.fillHoles ? mostComplementRuns(shape) : 0)
  const mask = maskBytes(shape)
  const work = mask + marksBytes(shape, runs) + planeWork(shape, runs)
  const resident = plan.resident + mask
  return { ...plan, resident, bytes: Math.max(plan.bytes, resident + work) }
}

/** A plane's voxels, and its runs as they are read and as they are changed. */
function planeWork([nx, ny]: readonly number[], runs: number): number {
  return 2 * nx! * ny! + 2 * 9 * runs
}
