/** Medians, and ratios of repetitions that were made in turns. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Of at least one value; the mean of the middle two where their number is even. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('expected at least one value, found none')
  const sorted = values.toSorted((a, b) => a - b)
  const last = sorted.length - 1
  return {
    median: (sorted[Math.floor(last / 2)]! + sorted[Math.ceil(last / 2)]!) / 2,
    min: sorted[0]!,
    max: sorted[last]!,
  }
}

export function medianOf(values: readonly number[]): number {
  return spreadOf(values).median
}

/**
 * values[i] / references[i] for every i: both were measured in the same round, so that a machine that slows down for a
 * while slows both.
 */
export function pairwiseRatios(values: readonly number[], references: readonly number[]): number[] {
  if (values.length !== references.length)
    throw new Error(`expected as many values as references, found ${values.length} and ${references.length}`)
  return values.map((value, i) => value / references[i]!)
}
