/** The cases of a report as a table for spreadsheets. */

import { stringify } from 'csv-stringify/sync'
import type { Report } from '../schemas/report.ts'
import { numberOf } from './figure.ts'
import { rulesBeside } from './record.ts'
import type { Figures } from './spreads.ts'

/**
 * CSV (RFC 4180, UTF-8): a row a case in the data set's order, then the cases that failed, without figures. Columns: case,
 * state (evaluated, missing, failed), `field.*`, the metrics, `monai.*`, `strict.*` where MONAI's rule was chosen, and the files. Infinities are "inf", what is not
 * defined is empty. Text that a spreadsheet would take for a formula gets an apostrophe in front.
 */
export function casesTable(report: Report): string {
  const fields = [...new Set(report.cases.flatMap(one => Object.keys(one.fields)))]
  const metrics = Object.keys(report.metrics)
  const rules = rulesBeside(report).map(rule => ({ rule, names: Object.keys(report[rule]) }))
  const files = ['image', 'label', 'prediction'] as const
  const header = [
    'case',
    'state',
    ...fields.map(name => `field.${name}`),
    ...metrics,
    ...rules.flatMap(({ rule, names }) => names.map(name => `${rule}.${name}`)),
    ...files,
  ]
  const rows = report.cases.map(one => [
    one.case,
    one.isMissing ? 'missing' : 'evaluated',
    ...fields.map(name => (Object.hasOwn(one.fields, name) ? one.fields[name] : null)),
    ...figures(metrics, one.metrics),
    ...rules.flatMap(({ rule, names }) => figures(names, one[rule])),
    ...files.map(file => one[file]),
  ])
  const failed = report.failures.map(failure => [failure.case, 'failed', ...header.slice(2).map(() => null)])
  return stringify([header, ...rows, ...failed], {
    record_delimiter: 'windows',
    // By itself the library quotes both together only, and readers end a row at either.
    quoted_match: /[\r\n]/,
    escape_formulas: true,
    cast: { number: value => (Number.isFinite(value) ? String(value) : value > 0 ? 'inf' : '-inf') },
  })
}

function figures(names: readonly string[], of: Figures): (number | null)[] {
  return names.map(name => numberOf(of[name]))
}
