/** Metrics of pairs of masks by MONAI's empty rule, and their reduction over cases. */

import { diceTable } from '../../../report/dice-table.ts'
import { maskOf as runsOf } from '../../../imaging/mask.ts'
import { countOverlaps, overlapMetrics } from '../../../report/overlap.ts'
import { reduceMetric, type Reduction } from '../../../report/reduce.ts'
import {
  averageSurfaceDistance,
  hausdorff,
  surfaceDice,
  surfaceDistances,
  type SurfaceDistances,
} from '../../../report/surface.ts'
import { toVolume } from '../npy.ts'
import { largest, overCases, type Check } from './check.ts'
import type { MetricValue, References } from './references.ts'

const emptyRule = 'monai'

/** A metric by its name in an index, such as hd95 or nsd_2mm; what a name's number is goes to `of`. */
interface SurfaceMetric {
  readonly step: string
  readonly quantity: string
  readonly unit: string
  readonly pattern: RegExp
  readonly of: (distances: SurfaceDistances, number: number) => number | null
}

const surfaces: readonly SurfaceMetric[] = [
  {
    step: 'Hausdorff distance',
    quantity: 'of each pair of masks',
    unit: 'mm',
    pattern: /^hd()$/,
    of: distances => hausdorff(distances, { emptyRule }),
  },
  {
    step: 'Hausdorff distance, percentile',
    quantity: 'of each pair of masks',
    unit: 'mm',
    pattern: /^hd([\d.]+)$/,
    of: (distances, percentile) => hausdorff(distances, { emptyRule, percentile }),
  },
  {
    step: 'average surface distance',
    quantity: 'of each pair of masks, symmetric',
    unit: 'mm',
    pattern: /^assd()$/,
    of: distances => averageSurfaceDistance(distances, { emptyRule }),
  },
  {
    step: 'surface Dice',
    quantity: 'of each pair of masks, at each tolerance',
    unit: 'of 1',
    pattern: /^nsd_([\d.]+)mm$/,
    of: (distances, tolerance) => surfaceDice(distances, tolerance, emptyRule),
  },
]

const reductions: readonly Reduction[] = [
  'none',
  'mean',
  'sum',
  'mean_batch',
  'sum_batch',
  'mean_channel',
  'sum_channel',
]

export const metricChecks: readonly Check[] = [
  {
    step: 'Dice',
    quantity: 'of each pair of masks',
    unit: 'of 1',
    tolerance: 1e-4,
    run: references =>
      overCases(references.index.metrics?.cases, 'pairs', async ({ pred, truth, dice }) => {
        const masks = [pred, truth].map(file => {
          const { shape, voxels } = toVolume(references.array(file))
          return runsOf(shape, Uint8Array.from(voxels))
        })
        const counts = await countOverlaps(masks[0]!, masks[1]!, 2, async () => {})
        return apart(overlapMetrics(counts[1]!, { emptyRule, voxelMl: 1 }).dice, dice)
      }),
  },
  ...surfaces.map(({ step, quantity, unit, pattern, of }): Check => ({
    step,
    quantity,
    unit,
    tolerance: 1e-4,
    run: async references => {
      const { metrics } = references.index
      const values = metrics?.cases.flatMap(entry =>
        metricsOf(entry)
          .filter(([name]) => pattern.test(name))
          .map(([name, expected]) => ({ entry, number: Number(pattern.exec(name)![1]), expected })),
      )
      return overCases(values, 'values', async ({ entry: { pred, truth }, number, expected }) =>
        apart(of(await distancesOf(references, pred, truth, metrics!.spacing), number), expected),
      )
    },
  })),
  {
    step: 'reductions',
    quantity: reductions.join(', '),
    unit: 'of 1',
    tolerance: 1e-4,
    run: references => {
      const entry = references.index.reductions
      return overCases(entry && reductions.filter(name => name in entry.values), 'reductions', name => {
        const pairs = entry!.cases.map(({ pred, truth }) => ({
          prediction: maskOf(references, pred),
          reference: maskOf(references, truth),
        }))
        const table = diceTable(pairs, { classes: entry!.classes, includeBackground: false, ignoreEmpty: true })
        const found = [reduceMetric(table, name).value].flat(2) as (number | null)[]
        const expected = [entry!.values[name]].flat(2) as (number | null)[]
        return found.length === expected.length
          ? largest(found.map((value, i) => apart(value, expected[i]!)))
          : Infinity
      })
    },
  },
]

/** A case's metrics by name; tolerances that are listed apart get their names. */
function metricsOf(entry: Readonly<Record<string, unknown>>): [name: string, value: MetricValue][] {
  const { pred: _, truth: __, nsd = {}, ...named } = entry
  const tolerances = Object.entries(nsd as Record<string, MetricValue>)
  return [
    ...(Object.entries(named) as [string, MetricValue][]),
    ...tolerances.map(([mm, value]): [string, MetricValue] => [`nsd_${Number(mm)}mm`, value]),
  ]
}

function distancesOf(
  references: References,
  pred: string,
  truth: string,
  spacing: readonly number[],
): Promise<SurfaceDistances> {
  return references.once(`surfaces of ${pred}`, async () => {
    const { shape, voxels } = toVolume(references.array(pred))
    const reference = toVolume(references.array(truth)).voxels
    const [found, wanted] = [voxels, reference].map(mask => runsOf(shape, Uint8Array.from(mask)))
    return surfaceDistances(found!, wanted!, { spacing: spacing as [number, number, number], value: 1 })
  })
}

function maskOf(references: References, file: string): Uint8Array {
  return references.array(file).data as Uint8Array
}

/** Two values, either of which may be undefined (null) or infinite ("inf"): then they are the same or infinitely apart. */
function apart(found: number | null, expected: MetricValue): number {
  const wanted = expected === 'inf' ? Infinity : expected
  if (found === wanted) return 0
  return found === null || wanted === null ? Infinity : Math.abs(found - wanted)
}
