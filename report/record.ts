/** A report without its cases. */

import type { HistoryRecord, Report } from '../schemas/report.ts'

export function recordOf(_report: Report): HistoryRecord {
  throw new Error('not there yet')
}
