/** One metric over cases: mean, median, spread, and how many cases have it. */

import type { Score } from '../pipeline/flow.ts'
import { isDefined } from './reduce.ts'

/**
 * Distribution of one metric over the cases where it is defined. Infinite values (a distance to an empty mask, by MONAI's
 * rule) take part: the mean is then infinite, as MONAI's is, and the median still means something.
 */
export interface Distribution {
  readonly mean: number | null
  readonly median: number | null
  readonly min: number | null
  readonly max: number | null
  /** Standard deviation over the cases (n - 1); null below two, and where a value is infinite. */
  readonly sd: number | null
  readonly cases: number
  /** How many of `cases` are infinite. */
  readonly infinite: number
  /** Cases for which the metric's rule gives no value. */
  readonly undefined: number
}

/** Metrics by name, in the order in which they first appear. */
export function distributions(scores: readonly Score[]): Record<string, Distribution> {
  const names = [...new Set(scores.flatMap(({ metrics }) => Object.keys(metrics)))]
  return Object.fromEntries(names.map(name => [name, distribution(scores.map(({ metrics }) => metrics[name] ?? null))]))
}

/** null and NaN stand for a value that is not defined; it is counted, never averaged. */
export function distribution(values: readonly (number | null)[]): Distribution {
  const defined = values.filter(isDefined).toSorted((a, b) => a - b)
  const n = defined.length
  if (n === 0) {
    const none = { mean: null, median: null, min: null, max: null, sd: null }
    return { ...none, cases: 0, infinite: 0, undefined: values.length }
  }
  const mean = defined.reduce((sum, value) => sum + value, 0) / n
  const median = (defined[Math.floor((n - 1) / 2)]! + defined[Math.ceil((n - 1) / 2)]!) / 2
  const infinite = defined.filter(value => !Number.isFinite(value)).length
  const sd =
    n < 2 || infinite > 0 ? null : Math.sqrt(defined.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1))
  return { mean, median, min: defined[0]!, max: defined[n - 1]!, sd, cases: n, infinite, undefined: values.length - n }
}

/** Of one or more ascending values; linear between them, as numpy's default. */
export function quantile(ascending: ArrayLike<number>, share: number): number {
  const rank = share * (ascending.length - 1)
  const [low, high] = [ascending[Math.floor(rank)]!, ascending[Math.ceil(rank)]!]
  return low + (rank - Math.floor(rank)) * (high - low)
}
