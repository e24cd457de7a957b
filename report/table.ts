/** A report's cases as CSV. */

import type { Report } from '../schemas/report.ts'

export function casesTable(_report: Report): string {
  throw new Error('not there yet')
}
