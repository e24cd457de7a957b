/** From scores to a report: the figures, what they are compared with, and whether the gates hold. */

import type { Score } from '../pipeline/stage.ts'
import type { HistoryRecord, Report } from '../schemas/report.ts'

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
}

export function makeReport(_input: ReportInput): Report {
  throw new Error('not there yet')
}
