/**
 * Intervals of means by resampling cases: the bias-corrected and accelerated bootstrap, BCa (Efron, "Better bootstrap confidence
 * intervals", J. Am. Stat. Assoc. 82, 1987; Efron and Tibshirani, "An introduction to the bootstrap", chapter 14). Metrics have
 * long tails and pile up at 0 and 1, where intervals symmetric around the mean, and plain percentiles, cover too little.
 */

import { rng } from '../pipeline/random.ts'
import { quantile } from './distribution.ts'
import { normalCdf, normalQuantile } from './normal.ts'
import { isDefined } from './reduce.ts'

export interface Resampling {
  /** How often cases are drawn. */
  readonly resamplings: number
  readonly seed: number
  /** Awaited after each resampling, so that others have their turn; what it rejects with ends the work. */
  readonly pause: () => Promise<void>
}

/** Ends of the 95 % interval of a mean; null where there is none. */
export interface Interval {
  readonly low: number | null
  readonly high: number | null
}

const none: Interval = { low: null, high: null }
const tails = [0.025, 0.975] as const

interface Column {
  readonly index: number
  readonly mean: number
  /** Every case's value minus the mean; 0 where it is not defined. */
  readonly deviations: Float64Array
  /** 1 where a case has a value, else 0. */
  readonly isDefined: Uint8Array
  readonly scale: number
}

/**
 * One interval for each of `columns`, which hold the values of the same cases in the same order; null and NaN are not
 * defined. Each resampling draws as many cases as there are, the same for every column, and means what is defined among
 * them; one that draws no defined value is left out. No interval with fewer than two defined values, and none where one is
 * infinite, since the mean is then too. Equal values give an interval of no width. Same values in the same order, same
 * seed: same interval, whatever is computed in the pauses.
 */
export async function intervalsOfMeans(
  columns: readonly (readonly (number | null)[])[],
  { resamplings, seed, pause }: Resampling,
): Promise<Interval[]> {
  const intervals = columns.map(constantInterval)
  const moving = columns.flatMap((values, index) => (intervals[index] ? [] : [columnOf(values, index)]))
  if (moving.length > 0) {
    const found = moving.map(() => new Float64Array(resamplings))
    const counts = moving.map(() => 0)
    for (const times of draws(columns[0]!.length, { resamplings, seed })) {
      for (const [m, { deviations, isDefined: defined }] of moving.entries()) {
        let [sum, n] = [0, 0]
        for (let i = 0; i < times.length; i++) {
          sum += times[i]! * deviations[i]!
          n += times[i]! * defined[i]!
        }
        if (n > 0) found[m]![counts[m]!++] = sum / n
      }
      await pause()
    }
    for (const [m, column] of moving.entries()) {
      intervals[column.index] = bca(column, found[m]!.subarray(0, counts[m]).toSorted())
      await pause()
    }
  }
  return intervals.map(interval => interval ?? none)
}

/** How many times each of n cases is drawn, in one resampling after the other; the array is written anew each time. */
function* draws(n: number, { resamplings, seed }: Omit<Resampling, 'pause'>): Generator<Float64Array> {
  const times = new Float64Array(n)
  const random = rng(seed, 0, 0, 'bootstrap')
  for (let r = 0; r < resamplings; r++) {
    times.fill(0)
    for (let i = 0; i < n; i++) times[random.integer(n)]!++
    yield times
  }
}

/** The interval of a column whose mean does not move, or has none; undefined for all others. */
function constantInterval(values: readonly (number | null)[]): Interval | undefined {
  const defined = values.filter(isDefined)
  if (defined.length < 2 || !defined.every(Number.isFinite)) return none
  const [first] = defined
  return defined.every(value => value === first) ? { low: first!, high: first! } : undefined
}

function columnOf(values: readonly (number | null)[], index: number): Column {
  const defined = values.filter(isDefined)
  const mean = defined.reduce((sum, value) => sum + value, 0) / defined.length
  return {
    index,
    mean,
    deviations: Float64Array.from(values, value => (isDefined(value) ? value - mean : 0)),
    isDefined: Uint8Array.from(values, value => (isDefined(value) ? 1 : 0)),
    scale: defined.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  }
}

/** `sorted`: the deviations from the mean that resamplings gave, ascending. */
function bca({ mean, deviations, scale }: Column, sorted: Float64Array): Interval {
  // Sums of one set of values in two orders differ in their last bits: nearly equal is equal, and counts half.
  const nearly = 1e-12 * scale
  const below = sorted.filter(deviation => deviation < -nearly).length
  const equal = sorted.filter(deviation => Math.abs(deviation) <= nearly).length
  const bias = normalQuantile((below + equal / 2) / sorted.length)
  // Of a mean, what leaving one case out changes is its deviation over n - 1, which cancels.
  const [cubes, squares] = deviations.reduce(([cubes, squares], d) => [cubes + d ** 3, squares + d ** 2], [0, 0])
  const acceleration = cubes / (6 * squares ** 1.5)
  const [low, high] = tails.map(tail => {
    const moved = bias + normalQuantile(tail)
    const share = normalCdf(bias + moved / (1 - acceleration * moved))
    return mean + quantile(sorted, Number.isFinite(bias) ? share : tail)
  })
  return { low: low!, high: high! }
}
