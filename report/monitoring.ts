/** A report's figures for Prometheus, as node_exporter's textfile collector takes them. */

import type { Report } from '../schemas/report.ts'
import { numberOf } from './figure.ts'
import { statistics } from './gates.ts'
import { caseCounts, rulesBeside } from './record.ts'

/**
 * Prometheus text, version 0.0.4. Every sample has the report's title as a label, so that the files of several evaluations can lie
 * in one folder. Infinities are +Inf and -Inf; a figure that is not defined has no sample.
 */
export async function monitoringText(report: Report): Promise<string> {
  // Loaded here: what makes no report need not wait for it.
  const { Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  const { title } = report
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labels: readonly Label[],
    samples: readonly (readonly [labels: Readonly<Record<Label, string>>, value: number | null])[],
  ): void => {
    const made = new Gauge({
      name: `ctflow_evaluation_${name}`,
      help,
      labelNames: ['title', ...labels],
      registers: [registry],
    })
    for (const [values, value] of samples) if (value !== null) made.set({ title, ...values }, value)
  }
  const summaries = [
    ...Object.entries(report.summary),
    ...rulesBeside(report).flatMap(rule =>
      Object.entries(report[rule]).map(([name, spread]) => [`${rule}.${name}`, spread] as const),
    ),
  ]
  gauge(
    'metric',
    'A metric over the cases: mean, median, min, max, sd, and the 95 % interval of the mean from low to high',
    ['metric', 'statistic'],
    summaries.flatMap(([metric, spread]) =>
      statistics.map(statistic => [{ metric, statistic }, numberOf(spread[statistic])] as const),
    ),
  )
  gauge(
    'cases',
    'Cases by state; missing ones, which had no mask, are evaluated as empty masks',
    ['state'],
    Object.entries(caseCounts(report)).map(([state, count]) => [{ state }, count]),
  )
  gauge(
    'gate_passed',
    'Whether a gate of the definition holds: 1 or 0',
    ['gate'],
    report.gates.map(({ figure, passed }) => [{ gate: figure }, passed ? 1 : 0]),
  )
  gauge(
    'timestamp_seconds',
    'When the report was made, seconds since 1970',
    [],
    [[{}, Date.parse(report.created) / 1000]],
  )
  gauge('duration_seconds', 'How long the evaluation took', [], [[{}, report.run.seconds]])
  gauge('peak_rss_bytes', 'Highest resident set size of the evaluation', [], [[{}, report.run.peakRssBytes]])
  return registry.metrics()
}
