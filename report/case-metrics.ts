/** All figures of one case by name, by both rules for empty masks. */

import type { Score } from '../pipeline/flow.ts'
import { lesionMetrics, type LesionMatches } from './lesion-matching.ts'
import { classOf } from './metric-names.ts'
import { overlapMetrics, type OverlapCounts } from './overlap.ts'
import { reduceMetric } from './reduce.ts'
import { surfaceMetrics, type EmptyRule, type SurfaceDistances, type SurfaceMetricsOptions } from './surface.ts'

type Metrics = Score['metrics']

/** What was measured of one class. */
export interface Measured {
  readonly value: number
  readonly counts: OverlapCounts
  readonly distances?: SurfaceDistances
  readonly lesions?: LesionMatches
}

export interface CaseMetricsOptions {
  readonly emptyRule: EmptyRule
  /** Millilitres in a voxel. */
  readonly voxelMl: number
  readonly surface?: Omit<SurfaceMetricsOptions, 'emptyRule'>
}

/**
 * The figures by the rule that was chosen, and by either rule those whose value a rule can change. Of several classes the names
 * end in _class1 and so on, and "dice" is the mean over the classes that have one, as MONAI's mean begins.
 */
export function caseMetrics(
  measured: readonly Measured[],
  { emptyRule, ...options }: CaseMetricsOptions,
): Required<Pick<Score, 'metrics' | 'monai' | 'strict'>> {
  const by = (rule: EmptyRule): Metrics => {
    const metrics = measured.map(each => ofClass(each, rule, options))
    return measured.length === 1 ? metrics[0]! : ofClasses(measured, metrics)
  }
  const [monai, strict] = [by('monai'), by('strict')]
  return { metrics: emptyRule === 'monai' ? monai : strict, monai: differing(monai), strict: differing(strict) }
}

/** Names of the figures that are computed, in their order. */
export interface MetricNames {
  readonly metrics: readonly string[]
  /** Those whose value a rule can change. */
  readonly byRule: readonly string[]
}

/** What `caseMetrics` calls its figures of such classes; the names depend on nothing that was measured. */
export function metricNames(
  values: readonly number[],
  { surface, lesions }: Pick<CaseMetricsOptions, 'surface'> & { readonly lesions: boolean },
): MetricNames {
  const none = new Float32Array(0)
  const measured = values.map(value => ({
    value,
    counts: { predicted: 0, reference: 0, both: 0 },
    distances: { toReference: none, toPrediction: none, emptyMasks: 2, diagonal: 0 },
    ...(lesions && { lesions: { reference: 0, predicted: 0, referenceMet: 0, predictedMet: 0, pairs: 0 } }),
  }))
  const { metrics, strict } = caseMetrics(measured, { emptyRule: 'strict', voxelMl: 1, ...(surface && { surface }) })
  return { metrics: Object.keys(metrics), byRule: Object.keys(strict) }
}

function differing(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !sameByBoth.has(classOf(name).base)))
}

/** Counts and volumes, which are what they are. */
const sameByBoth: ReadonlySet<string> = new Set([
  'predictedVoxels',
  'referenceVoxels',
  'predictedMl',
  'referenceMl',
  'differenceMl',
  'absoluteDifferenceMl',
  'lesions',
  'predictedLesions',
  'falsePositiveMl',
])

function ofClass(
  { counts, distances, lesions }: Measured,
  emptyRule: EmptyRule,
  { voxelMl, surface }: Omit<CaseMetricsOptions, 'emptyRule'>,
): Metrics {
  const { falsePositiveMl, ...overlaps } = overlapMetrics(counts, { emptyRule, voxelMl })
  return {
    ...overlaps,
    ...(distances && surface && surfaceMetrics(distances, { ...surface, emptyRule })),
    ...(lesions && lesionMetrics(lesions, emptyRule)),
    falsePositiveMl,
  }
}

function ofClasses(measured: readonly Measured[], metrics: readonly Metrics[]): Metrics {
  const { value, defined } = reduceMetric([metrics.map(({ dice }) => dice!)], 'mean')
  const named = metrics.flatMap((each, i) =>
    Object.entries(each).map(([name, figure]) => [`${name}_class${measured[i]!.value}`, figure] as const),
  )
  return { dice: defined === 0 ? null : value, ...Object.fromEntries(named) }
}
