/** Compares a mask with its reference. */

import type { FromSchema } from 'json-schema-to-ts'
import { spacingOf } from '../imaging/affine.ts'
import { minimumVoxels } from '../imaging/components.ts'
import { keySlicesBytes, KeySliceStore } from '../imaging/key-slices.ts'
import { regriddingBytes } from '../imaging/label-mask.ts'
import { maskBytes } from '../imaging/mask.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Prediction, Sample, Score } from '../pipeline/flow.ts'
import type { Grid } from '../pipeline/grid.ts'
import type { Plan } from '../pipeline/planned.ts'
import type { Stage } from '../pipeline/stage.ts'
import { caseMetrics, metricNames, type Measured, type MetricNames } from '../report/case-metrics.ts'
import { matchingBytes, matchLesions } from '../report/lesion-matching.ts'
import { voxelMlOf } from '../report/lesions.ts'
import { countOverlaps } from '../report/overlap.ts'
import { surfaceBytes, surfaceDistances } from '../report/surface.ts'
import { emptyRule } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { expectVolume, isSameGrid, readPair, type Pair } from './dice-pair.ts'
import { described, perItemAsync } from './lift.ts'
import { pauseOf } from './pause.ts'
import { withBytes } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Dice, IoU, sensitivity, precision and volumes of the lesion against the reference; distances of the surfaces; how many lesions were found.',
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
      description:
        'the class that is compared; all others count as background. Left out: every class from 1 up; where there are several, names end in _class1, _class2 and so on, and "dice" is their mean',
    },
    surface: {
      type: ['object', 'boolean'],
      additionalProperties: false,
      default: {},
      description: 'hd, a percentile of it (hd95), assd and nsd_1mm and so on; false: they are not computed',
      properties: {
        tolerancesMm: {
          type: 'array',
          items: { type: 'number', minimum: 0 },
          minItems: 1,
          uniqueItems: true,
          default: [1, 3],
          description: 'surface Dice (NSD) for each of these, in mm',
        },
        percentile: {
          type: 'number',
          exclusiveMinimum: 0,
          maximum: 100,
          default: 95,
          description: 'of the percentile Hausdorff distance',
        },
      },
    },
    lesions: {
      type: ['object', 'boolean'],
      additionalProperties: false,
      default: {},
      description:
        'how many lesions, 26-connected, were found: lesionSensitivity, lesionPrecision, lesionF1 and so on; false: they are not counted',
      properties: {
        minVoxels: {
          type: 'integer',
          minimum: 1,
          default: 3,
          description: 'components of fewer voxels are no lesions, in the mask as in the reference',
        },
        minMm3: { type: 'number', exclusiveMinimum: 0, description: 'likewise those of less volume' },
        iou: {
          type: 'number',
          exclusiveMinimum: 0,
          maximum: 1,
          default: 0.1,
          description: 'least IoU of a pair of lesions, for lesionSensitivityIou and so on',
        },
      },
    },
    regrid: {
      type: 'boolean',
      default: false,
      description:
        "a mask on another grid than its reference is brought to the reference's, nearest neighbour; false: it is an error",
    },
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'cases being compared at a time' },
  },
  examples: [
    { kind: 'dice' },
    { kind: 'dice', emptyRule: 'monai', surface: { tolerancesMm: [1, 2, 3] }, lesions: { minMm3: 10, iou: 0.5 } },
    { kind: 'dice', surface: false, lesions: false, regrid: true, parallel: 4 },
  ],
} as const

type Options = FromSchema<typeof schema>

export const dice: Stage<Options> = {
  schema,
  takes: ['prediction', 'volume'],
  gives: 'score',
  create(options, context) {
    const values = valuesOf(options)
    let slices: KeySliceStore | undefined
    context.atEnd?.(() => slices?.close())
    return described([`ahead(${options.parallel})`], source => {
      slices?.close()
      const store = (slices = new KeySliceStore(context.scratch))
      const score = async (item: Prediction | Sample): Promise<Score> => {
        const pair = await readPair(item, options, context)
        try {
          const isKept = context.keepMasks?.has(item.case.id) === true
          return await scored(pair, item.case, { options, values, store, isKept, pause: pauseOf(context) })
        } finally {
          pair.close()
        }
      }
      const scoring = perItemAsync<Prediction | Sample, Score>('dice', options.parallel, async item => {
        if (!('mask' in item)) {
          return admitted(item, context, async claimed => {
            const result = await score(claimed)
            claimed.claim.release()
            return result
          })
        }
        const result = await score(item)
        item.claim?.release()
        return result
      })
      return scoring(source)
    })
  },
  plan: planCompared,
}

function valuesOf({ classes, value }: Options): readonly number[] {
  if (value === undefined) return Array.from({ length: classes - 1 }, (_, i) => i + 1)
  if (value < classes) return [value]
  throw new PipelineError(
    'ERR_DEFINITION',
    `dice: expected a "value" from 1 to ${classes - 1} for ${classes} classes, found ${value}; raise "classes"`,
    { value, classes },
  )
}

/** What the figures of its scores are called. */
export function scoreNames(options: Options): MetricNames {
  const { value, lesions } = options
  const surface = surfaceOf(options)
  const values = value === undefined ? valuesOf(options) : [value]
  return metricNames(values, { lesions: lesions !== false, ...(surface && { surface }) })
}

/** Options as they were written, or the defaults for `true`. */
function surfaceOf({ surface }: Options): { tolerancesMm: readonly number[]; percentile: number } | undefined {
  if (surface === false) return undefined
  const { tolerancesMm, percentile } = schema.properties.surface.properties
  return surface === true ? { tolerancesMm: tolerancesMm.default, percentile: percentile.default } : surface
}

/** For voxels of so many ml. */
function lesionsOf({ lesions }: Options, voxelMl: number): { minVoxels: number; iou: number } | undefined {
  if (lesions === false) return undefined
  const { minVoxels, iou } = schema.properties.lesions.properties
  if (lesions === true) return { minVoxels: minVoxels.default, iou: iou.default }
  // The larger of both sizes holds.
  return { minVoxels: Math.max(lesions.minVoxels, minimumVoxels(lesions.minMm3, 1000 * voxelMl)), iou: lesions.iou }
}

async function scored(
  { grid, prediction, reference, isMissing }: Pair,
  found: Score['case'],
  {
    options,
    values,
    store,
    isKept,
    pause,
  }: {
    options: Options
    values: readonly number[]
    store: KeySliceStore
    isKept: boolean
    pause: () => Promise<void>
  },
): Promise<Score> {
  const { classes, emptyRule } = options
  const voxelMl = voxelMlOf(grid.affine)
  const [surface, lesions] = [surfaceOf(options), lesionsOf(options, voxelMl)]
  const counts = await countOverlaps(prediction, reference, classes, pause)
  const matches = lesions && (await matchLesions(prediction, reference, { ...lesions, classes, pause }))
  const measured: Measured[] = []
  for (const value of values) {
    const distances =
      surface && (await surfaceDistances(prediction, reference, { spacing: spacingOf(grid.affine), value }))
    measured.push({
      value,
      counts: counts[value]!,
      ...(distances && { distances }),
      ...(matches && { lesions: matches[value]! }),
    })
    await pause()
  }
  const keeping = { values: new Set(values), pause }
  const slices = await store.keep(prediction, reference, { grid, ...keeping })
  const masks = isKept && {
    grid,
    prediction: await store.keepMask(prediction, keeping),
    reference: await store.keepMask(reference, keeping),
  }
  return {
    case: found,
    ...caseMetrics(measured, { emptyRule, voxelMl, ...(surface && { surface }) }),
    ...(isMissing && { isMissing }),
    slices,
    ...(masks && { masks }),
  }
}

/** Both masks as runs, one after the other; then what is counted, matched and measured, likewise one after the other. */
function planCompared(options: Options, plan: Plan): Plan {
  const isMask = plan.flow === 'prediction'
  const found = expectVolume(plan.volumes.prediction, 'prediction')
  const label = expectVolume(plan.volumes.label, 'label')
  const isExact = found.isExact && label.isExact
  const isSame = isExact
    ? isSameGrid(found.grid, label.grid, options, isMask ? {} : { mask: 'the mask' })
    : !options.regrid
  const [mask, reference] = [isMask ? 0 : maskBytes(found.grid.shape), maskBytes(label.grid.shape)]
  const reading = isMask ? 0 : mask + found.pulling + planeBytes(found.grid)
  const both = mask + reference
  const regridded = isSame ? 0 : reference
  const { shape } = label.grid
  const work = Math.max(
    options.surface === false ? 0 : surfaceBytes(shape),
    options.lesions === false ? 0 : matchingBytes(shape, options.classes),
    keySlicesBytes(shape, options.classes),
  )
  const { bytes } = withBytes(
    plan,
    Math.max(
      reading,
      both + label.pulling + planeBytes(label.grid),
      both + regridded + (isSame ? 0 : regriddingBytes(found.grid, label.grid)),
      both + regridded + work,
    ),
  )
  return { flow: 'score', volumes: {}, steps: [], items: 1, resident: 0, bytes }
}

function planeBytes({ shape }: Grid): number {
  return shape[0] * shape[1]
}
