/** From a table of one metric, cases by channels, to fewer numbers: MONAI's reductions (`do_metric_reduction`). */

/** Rows are cases, columns are channels (classes); null or NaN where the metric is not defined. */
export type MetricTable = readonly (readonly (number | null)[])[]

/** By MONAI's names; `mean_batch` goes over the cases of each channel, `mean_channel` over the channels of each case. */
export type Reduction = 'none' | 'mean' | 'sum' | OneAxis
type OneAxis = 'mean_batch' | 'sum_batch' | 'mean_channel' | 'sum_channel'

/** What is left of the table, and how many values each number stands for: what MONAI calls `not_nans`. */
export interface Reduced<Shape> {
  readonly value: Shape
  readonly defined: Shape
}

/**
 * Reduces a table; values that are not defined are left out. Where nothing is defined, means and sums are 0, as in MONAI:
 * look at `defined` first. `mean` is the mean over cases of each case's mean over channels, and its `defined` counts
 * cases. An infinite value makes its mean and its sum infinite. `none` gives the table, and 1 or 0 for each value.
 * RangeError where rows differ in length.
 */
export function reduceMetric(table: MetricTable, reduction: 'none'): Reduced<(number | null)[][]>
export function reduceMetric(table: MetricTable, reduction: 'mean' | 'sum'): Reduced<number>
export function reduceMetric(table: MetricTable, reduction: OneAxis): Reduced<number[]>
export function reduceMetric(table: MetricTable, reduction: Reduction): Reduced<unknown>
export function reduceMetric(table: MetricTable, reduction: Reduction): Reduced<unknown> {
  const channels = table[0]?.length ?? 0
  if (table.some(row => row.length !== channels)) {
    throw new RangeError(
      `expected ${channels} channels in every case, found ${table.map(row => row.length).join(', ')}`,
    )
  }
  const columns = Array.from({ length: channels }, (_, channel) => table.map(row => row[channel]!))
  switch (reduction) {
    case 'none':
      return {
        value: table.map(row => row.map(value => (isDefined(value) ? value : null))),
        defined: table.map(row => row.map(value => (isDefined(value) ? 1 : 0))),
      }
    case 'mean':
      return mean(table.map(mean).map(({ value, defined }) => (defined > 0 ? value : null)))
    case 'sum':
      return sum(table.flat())
    case 'mean_batch':
      return each(columns, mean)
    case 'sum_batch':
      return each(columns, sum)
    case 'mean_channel':
      return each(table, mean)
    case 'sum_channel':
      return each(table, sum)
  }
}

/** null and NaN stand for what is not defined. */
export function isDefined(value: number | null): value is number {
  return value !== null && !Number.isNaN(value)
}

function sum(values: readonly (number | null)[]): Reduced<number> {
  const defined = values.filter(isDefined)
  return { value: defined.reduce((total, value) => total + value, 0), defined: defined.length }
}

function mean(values: readonly (number | null)[]): Reduced<number> {
  const { value, defined } = sum(values)
  return { value: defined === 0 ? 0 : value / defined, defined }
}

function each(rows: MetricTable, reduce: (values: readonly (number | null)[]) => Reduced<number>): Reduced<number[]> {
  const reduced = rows.map(reduce)
  return { value: reduced.map(({ value }) => value), defined: reduced.map(({ defined }) => defined) }
}
