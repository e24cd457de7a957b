/** From scores to a report: the figures, what they are compared with, and whether the gates hold. */

import { jsonReady } from '../pipeline/json.ts'
import type { Score } from '../pipeline/flow.ts'
import { reportFormat, type HistoryRecord, type Report, type ReportedCase } from '../schemas/report.ts'
import { figureOf, numberOf } from './figure.ts'
import { evaluateGates } from './gates.ts'
import { metricFacts, type MetricFacts } from './metric-names.ts'
import { comparisonWith } from './paired.ts'
import { recordOf } from './record.ts'
import { spreads, type CaseFigures, type Figures } from './spreads.ts'
import { referenceMl, strataOf } from './strata.ts'

export interface ReportInput extends Pick<
  Report,
  'id' | 'title' | 'created' | 'run' | 'data' | 'emptyRule' | 'failures'
> {
  readonly scores: readonly Score[]
  readonly options: {
    /** Fields of the cases by which they are grouped. */
    readonly strata: readonly string[]
    /** Ascending ml of the reference at which groups end. */
    readonly volumesMl: readonly number[]
    /** Resamplings for the intervals. */
    readonly bootstrap: number
    readonly seed: number
  }
  /** Rules by figure. */
  readonly gates: Readonly<Record<string, string>>
  /** What this one is compared with; `path` is how people find it. */
  readonly earlier?: { readonly path: string; readonly report: Report }
  /** Oldest first, without this one. */
  readonly history: readonly HistoryRecord[]
  /** Awaited often, so that others have their turn; what it rejects with ends the work. */
  readonly pause: () => Promise<void>
}

/**
 * The report as its JSON has it: infinities are the text "inf". The order of `scores` does not matter: cases come in the
 * data set's order, and so do the draws of the bootstrap. RangeError for gates in which `gateProblems` finds something.
 */
export async function makeReport(input: ReportInput): Promise<Report> {
  const { id, title, created, run, data, emptyRule, failures, options, earlier, pause } = input
  const { strata, volumesMl, bootstrap: resamplings, seed } = options
  const cases = input.scores.toSorted((a, b) => a.case.index - b.case.index).map(reported)
  const metrics = metricFacts(cases.flatMap(one => Object.keys(one.metrics)))
  const names = Object.keys(metrics)
  const resampling = { resamplings, seed, pause }
  const facts = { id, title, created, run, data, emptyRule, failures, metrics, cases }
  const tables = (['metrics', 'monai', 'strict'] as const).map(rule => tableOf(cases.map(one => one[rule])))
  const [summary, monai, strict] = await spreads(tables, resampling)
  const summaries = { summary: summary!, monai: monai!, strict: strict! }
  const report = {
    format: reportFormat,
    ...facts,
    ...summaries,
    strata: await strataOf(cases, names, { strata, volumesMl, ...resampling }),
    comparison: earlier ? await comparisonWith(facts, earlier, resampling) : null,
    gates: evaluateGates(input.gates, { ...facts, ...summaries }, earlier),
    worst: worstFirst(cases, names[0], metrics),
  } as const
  return jsonReady({ ...report, history: [...input.history, recordOf(report)] })
}

/** With the names in the order in which they are shown. */
function tableOf(rows: readonly Figures[]): CaseFigures {
  return { names: Object.keys(metricFacts(rows.flatMap(row => Object.keys(row)))), rows }
}

function reported({ case: found, isMissing, metrics, monai, strict }: Score): ReportedCase {
  const { id, fields, image, label, prediction } = found
  return {
    case: id,
    isMissing: isMissing === true,
    fields: { ...fields },
    metrics: figuresOf(metrics),
    monai: figuresOf(monai ?? {}),
    strict: figuresOf(strict ?? {}),
    ...(image !== undefined && { image }),
    ...(label !== undefined && { label }),
    ...(prediction !== undefined && { prediction }),
  }
}

function figuresOf(metrics: Score['metrics']): ReportedCase['metrics'] {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, figureOf(value)]))
}

/**
 * All cases by one metric. At one value those without a mask come first, then those with more lesion in the reference; cases
 * for which the metric is not defined come last, among themselves in the same order.
 */
function worstFirst(cases: readonly ReportedCase[], name: string | undefined, metrics: Report['metrics']): string[] {
  const keys = new Map(
    cases.map(one => {
      const value = name === undefined ? null : numberOf(one.metrics[name])
      const badness = value === null ? 0 : badnessOf(value, metrics[name!]!.better)
      return [one, [Number(value !== null), badness, Number(one.isMissing), referenceMl(one) ?? 0] as const] as const
    }),
  )
  return cases
    .toSorted((a, b) => {
      const [one, other] = [keys.get(a)!, keys.get(b)!]
      const at = one.findIndex((key, i) => key !== other[i])
      return at < 0 ? 0 : other[at]! - one[at]!
    })
    .map(one => one.case)
}

function badnessOf(value: number, better: MetricFacts['better']): number {
  return better === 'higher' ? -value : better === 'lower' ? value : Math.abs(value)
}
