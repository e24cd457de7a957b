/** Metrics summed up over cases: distribution, and the interval of the mean. */

import type { Figure, Spread } from '../schemas/report.ts'
import { intervalsOfMeans, type Resampling } from './bootstrap.ts'
import { distribution } from './distribution.ts'
import { figureOf, numberOf } from './figure.ts'

export type Figures = Readonly<Record<string, Figure>>

/** One spread per name; a case that lacks a metric counts as undefined there. `rows` in the order of the data set. */
export function spreads(
  names: readonly string[],
  rows: readonly Figures[],
  resampling: Resampling,
): Record<string, Spread> {
  const columns = names.map(name => rows.map(row => numberOf(row[name])))
  const intervals = intervalsOfMeans(columns, resampling)
  return Object.fromEntries(names.map((name, i) => [name, spread(columns[i]!, intervals[i]!)]))
}

function spread(
  values: readonly (number | null)[],
  { low, high }: { low: number | null; high: number | null },
): Spread {
  const { mean, median, min, max, sd, ...counts } = distribution(values)
  return {
    mean: figureOf(mean),
    median: figureOf(median),
    min: figureOf(min),
    max: figureOf(max),
    sd: figureOf(sd),
    ...counts,
    low: figureOf(low),
    high: figureOf(high),
  }
}
