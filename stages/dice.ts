/** Compares a mask with its reference. */

import type { FromSchema } from 'json-schema-to-ts'
import { determinant, spacingOf } from '../imaging/affine.ts'
import { expectClasses } from '../imaging/classes.ts'
import { defaultToleranceMm, gridDifference } from '../imaging/geometry-check.ts'
import { maskBytes, maskOf, maskVoxels } from '../imaging/mask.ts'
import { materialise, voxelCount } from '../imaging/volume.ts'
import { materialisedBytes } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Key, Prediction, Sample, Score, Stage, Volume } from '../pipeline/stage.ts'
import { overlap } from '../report/overlap.ts'
import { reduceMetric } from '../report/reduce.ts'
import { surfaceBytes, surfaceDistances, surfaceMetrics } from '../report/surface.ts'
import { emptyRule } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { perItemAsync } from './lift.ts'
import { withBytes } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Dice, IoU, sensitivity, precision and volumes of the lesion against the reference; with "surface", distances too.',
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
      type: 'object',
      additionalProperties: false,
      description: 'also hd, a percentile of it (hd95), assd and nsd_1mm and so on; left out, they are not computed',
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
  },
  examples: [{ kind: 'dice' }, { kind: 'dice', emptyRule: 'monai', surface: { tolerancesMm: [1, 2, 3] } }],
} as const

type Options = FromSchema<typeof schema>
type Metrics = Score['metrics']

export const dice: Stage<Options> = {
  schema,
  takes: ['prediction', 'volume'],
  gives: 'score',
  create(options, context) {
    const { classes, value } = options
    if (value !== undefined && value >= classes) {
      throw new PipelineError(
        'ERR_DEFINITION',
        `dice: expected a "value" from 1 to ${classes - 1} for ${classes} classes, found ${value}; raise "classes"`,
        { value, classes },
      )
    }
    const values = value === undefined ? Array.from({ length: classes - 1 }, (_, i) => i + 1) : [value]
    const score = async (item: Prediction | Sample): Promise<Score> => {
      const found =
        'mask' in item
          ? { grid: item.grid, voxels: maskVoxels(item.mask) }
          : await volumeOf(item.prediction, 'prediction')
      const reference = await volumeOf(item.label, 'label')
      sameGrid(found.grid, reference.grid)
      // Of a case's several files, the one at fault.
      expectClasses(found.voxels, classes, ('mask' in item ? undefined : item.case.prediction) ?? 'the mask')
      expectClasses(reference.voxels, classes, item.case.label ?? 'the label')
      const metrics: Metrics[] = []
      for (const each of values) metrics.push(await compare(found, reference, each, options))
      return { case: item.case, metrics: values.length === 1 ? metrics[0]! : ofClasses(values, metrics) }
    }
    return perItemAsync<Prediction | Sample, Score>('dice', 1, async item => {
      if (!('mask' in item)) {
        return admitted(item, context, async claimed => {
          const scored = await score(claimed)
          claimed.claim.release()
          return scored
        })
      }
      const scored = await score(item)
      item.claim?.release()
      return scored
    })
  },
  plan(options, plan) {
    const isMask = plan.flow === 'prediction'
    const found = expectVolume(plan.volumes.prediction, 'prediction')
    const label = expectVolume(plan.volumes.label, 'label')
    if (found.isExact && label.isExact) sameGrid(found.grid, label.grid)
    // The mask's voxels, and the reference's after them.
    const mask = isMask ? voxelCount(found.grid) : materialisedBytes(found)
    const copies = mask + materialisedBytes(label)
    // Both masks as runs too.
    const surfaces = options.surface ? surfaceBytes(found.grid.shape) + 2 * maskBytes(found.grid.shape) : 0
    const reading = isMask ? 0 : mask + found.pulling
    const { bytes } = withBytes(plan, Math.max(reading, copies + Math.max(label.pulling, surfaces)))
    return { flow: 'score', volumes: {}, steps: [], items: 1, resident: 0, bytes }
  },
}

function expectVolume<T>(volume: T | undefined, key: Key): T {
  if (volume) return volume
  throw new PipelineError(
    'ERR_DATASET',
    `expected a ${key} to compare with, found none; list one, or put "${key}" into the keys of "load"`,
  )
}

async function compare(found: Mask, reference: Mask, value: number, { emptyRule, surface }: Options): Promise<Metrics> {
  const { shape, affine } = found.grid
  const voxelMl = Math.abs(determinant(affine)) / 1000
  const overlaps = overlap(found.voxels, reference.voxels, { value, emptyRule, voxelMl })
  if (!surface) return overlaps
  const [prediction, truth] = [found, reference].map(({ voxels }) => maskOf(shape, Uint8Array.from(voxels)))
  const distances = await surfaceDistances(prediction!, truth!, { spacing: spacingOf(affine), value })
  return { ...overlaps, ...surfaceMetrics(distances, { ...surface, emptyRule }) }
}

/** The mean Dice over the classes that have one, as MONAI's mean begins; then every class's metrics by name. */
function ofClasses(values: readonly number[], metrics: readonly Metrics[]): Metrics {
  const { value, defined } = reduceMetric([metrics.map(({ dice }) => dice!)], 'mean')
  const named = metrics.flatMap((each, i) =>
    Object.entries(each).map(([name, figure]) => [`${name}_class${values[i]!}`, figure] as const),
  )
  return { dice: defined === 0 ? null : value, ...Object.fromEntries(named) }
}

interface Mask {
  readonly grid: Volume['grid']
  readonly voxels: Float32Array | Uint8Array
}

async function volumeOf(volume: Volume | undefined, key: Key): Promise<Mask> {
  const { grid } = expectVolume(volume, key)
  return { grid, voxels: await materialise(volume!) }
}

/** A mask turned or shifted against its reference would score, and mean nothing. */
function sameGrid(found: Grid, reference: Grid): void {
  const { isSameShape, farthestMm } = gridDifference(found, reference)
  if (isSameShape && farthestMm <= defaultToleranceMm) return
  throw new PipelineError(
    'ERR_GEOMETRY',
    `the mask has ${found.shape.join(' x ')} voxels, the reference ${reference.shape.join(' x ')}, with corners up to ${+farthestMm.toPrecision(4)} mm apart; "infer" brings its masks back to the scan's own grid, so give the stages before it that turn, resample, crop or pad "keys": ["image"], or compare on theirs with "invert": false`,
    { found: found.shape, reference: reference.shape, farthestMm },
  )
}
