/** Figures over cases, and how a run ends: status, exit code, the object that `--json` prints. */

import { readFileSync } from 'node:fs'
import type { Report } from '../schemas/report.ts'
import type { EngineInfo, Score } from './stage.ts'

export type Status = 'ok' | 'failed' | 'refused' | 'partial' | 'gate' | 'locked' | 'interrupted'

/**
 * Distribution of one metric over the cases where it is defined. Infinite values (a distance to an empty mask, by MONAI's
 * rule) take part: the mean is then infinite, as MONAI's is, and the median still means something.
 */
export interface Distribution {
  readonly mean: number | null
  readonly median: number | null
  readonly min: number | null
  readonly max: number | null
  /** Standard deviation over the cases (n - 1); null below two, and where a value is infinite. */
  readonly sd: number | null
  readonly cases: number
  /** How many of `cases` are infinite. */
  readonly infinite: number
  /** Cases for which the metric's rule gives no value. */
  readonly undefined: number
}

/** Metrics by name, in the order in which they first appear. */
export function distributions(scores: readonly Score[]): Record<string, Distribution> {
  const names = [...new Set(scores.flatMap(({ metrics }) => Object.keys(metrics)))]
  return Object.fromEntries(names.map(name => [name, distribution(scores.map(({ metrics }) => metrics[name] ?? null))]))
}

/** null stands for a value that is not defined; it is counted, never averaged. */
export function distribution(values: readonly (number | null)[]): Distribution {
  const defined = values.filter(value => value !== null).toSorted((a, b) => a - b)
  const n = defined.length
  if (n === 0) {
    const none = { mean: null, median: null, min: null, max: null, sd: null }
    return { ...none, cases: 0, infinite: 0, undefined: values.length }
  }
  const mean = defined.reduce((sum, value) => sum + value, 0) / n
  const median = (defined[Math.floor((n - 1) / 2)]! + defined[Math.ceil((n - 1) / 2)]!) / 2
  const infinite = defined.filter(value => !Number.isFinite(value)).length
  const sd =
    n < 2 || infinite > 0 ? null : Math.sqrt(defined.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1))
  return { mean, median, min: defined[0]!, max: defined[n - 1]!, sd, cases: n, infinite, undefined: values.length - n }
}

export interface CaseCounts {
  readonly ok: number
  readonly failed: number
  readonly skipped: number
}

/** A case that could not be used, and why. */
export interface Failure {
  readonly case: string
  readonly stage: string
  readonly code: string
  readonly reason: string
}

/** What `--json` prints, and what `summary.json` in the run's folder holds. */
export interface RunResult {
  readonly status: Status
  readonly exitCode: number
  readonly task: string | null
  readonly output: string | null
  readonly seconds: number
  readonly peakRssBytes: number
  readonly cases: CaseCounts
  /** As JSON: an infinite figure is the text "inf". */
  readonly metrics: Readonly<Record<string, unknown>>
  readonly engine: Pick<EngineInfo, 'backend' | 'precision' | 'threads'> | null
  readonly failures: readonly Failure[]
  /** Rules that figures must hold, judged; of an evaluation that has some. */
  readonly gates?: Report['gates']
  /** The folder of an evaluation's report, relative to `output`. */
  readonly report?: string
  /** Where checkpoints and masks of a run that did not end well were kept. */
  readonly kept?: string
  /** Why the run did not end well, for people. */
  readonly error?: string
}

/** Exit codes: 0 ok, 1 failed, 2 definition refused, 3 some cases failed, 4 a gate was missed, 75 locked. Signals: 128 + number. */
export const exitCodes: Readonly<Record<Exclude<Status, 'interrupted'>, number>> = {
  ok: 0,
  failed: 1,
  refused: 2,
  partial: 3,
  gate: 4,
  locked: 75,
}

/** Highest resident set size of this process so far, bytes. */
export function peakRss(): number {
  try {
    // Linux hands down maxRSS: a process starts with the peak of the one that started it.
    const peak = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))
    if (peak) return Number(peak[1]) * 1024
  } catch {
    // not Linux
  }
  return process.resourceUsage().maxRSS * 1024
}
