/** A report's figures as Prometheus text, for node_exporter's textfile collector. */

import type { Report } from '../schemas/report.ts'

export async function monitoringText(_report: Report): Promise<string> {
  throw new Error('not there yet')
}
