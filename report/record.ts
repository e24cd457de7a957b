/** What of a report a history keeps. */

import type { HistoryRecord, Report } from '../schemas/report.ts'

/** The counts that gates, histories and monitoring name alike; cases without a mask are evaluated too, as empty ones. */
export function caseCounts({
  cases,
  data,
  failures,
}: Pick<Report, 'cases' | 'data' | 'failures'>): HistoryRecord['cases'] {
  return { evaluated: cases.length, missing: data.missing.length, failed: failures.length }
}

/** The rules for empty masks whose figures files have beside the chosen one's: MONAI's always, ours where it was not chosen. */
export function rulesBeside({ emptyRule }: Pick<Report, 'emptyRule'>): ('monai' | 'strict')[] {
  return emptyRule === 'strict' ? ['monai'] : ['monai', 'strict']
}

/** One line: no cases, no strata, no comparison. */
export function recordOf(report: Omit<Report, 'history'>): HistoryRecord {
  const { id, created, title, run, data, emptyRule, summary, gates } = report
  return {
    format: 'ctflow-history-1',
    id,
    created,
    title,
    data: data.hash,
    model: run.model,
    definition: run.definition,
    emptyRule,
    cases: caseCounts(report),
    figures: Object.fromEntries(
      Object.entries(summary).map(([name, { mean, median, low, high }]) => [name, { mean, median, low, high }]),
    ),
    gates: gates.filter(({ passed }) => !passed).map(({ figure, rule }) => `${figure} ${rule}`),
  }
}
