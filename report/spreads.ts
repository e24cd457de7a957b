/** Metrics summed up over cases: distribution, and the interval of the mean. */

import type { Figure, Spread } from '../schemas/report.ts'
import { intervalsOfMeans, type Resampling } from './bootstrap.ts'
import { distribution } from './distribution.ts'
import { figureOf, numberOf } from './figure.ts'

export type Figures = Readonly<Record<string, Figure>>

/** Figures of the same cases, in the order of the data set. */
export interface CaseFigures {
  readonly names: readonly string[]
  /** A row a case; one that lacks a metric counts as undefined there. */
  readonly rows: readonly Figures[]
}

/** One summary per table, with one spread per name. The tables are of the same cases, which are drawn once for all. */
export async function spreads(
  tables: readonly CaseFigures[],
  resampling: Resampling,
): Promise<Record<string, Spread>[]> {
  const columns = tables.map(({ names, rows }) => names.map(name => rows.map(row => numberOf(row[name]))))
  const intervals = (await intervalsOfMeans(columns.flat(), resampling)).values()
  const summaries: Record<string, Spread>[] = []
  for (const [i, { names }] of tables.entries()) {
    const summary: [string, Spread][] = []
    for (const [j, name] of names.entries()) {
      summary.push([name, spread(columns[i]![j]!, intervals.next().value!)])
      await resampling.pause()
    }
    summaries.push(Object.fromEntries(summary))
  }
  return summaries
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
