/** Wilcoxon's signed-rank test: do paired differences lie around zero? */

import { normalCdf } from './normal.ts'

/** Up to as many pairs that differ, the distribution is counted out: 2^50 sign patterns are exact in float64. */
const exactUpTo = 50

export const wilcoxonName =
  'Wilcoxon signed-rank test, two-sided; exact up to 50 pairs that differ, else by the normal distribution with corrections for ties and continuity'

/**
 * The two-sided p of finite differences; null where none differs from zero. Zeros are left out, as Wilcoxon did. Exact
 * means over all signs that the ranks at hand could have, ties with their mean rank: with ties `scipy.stats.wilcoxon` gives
 * this by a `PermutationMethod` that goes through all of them, without ties by `method='exact'`; above 50 it is `method='approx'` with
 * `correction=True`.
 */
export function wilcoxon(differences: readonly number[]): number | null {
  const changed = differences.filter(difference => difference !== 0).toSorted((a, b) => Math.abs(a) - Math.abs(b))
  const n = changed.length
  if (n === 0) return null
  // Twice the mean rank, so that it is an integer with ties too.
  const ranks = new Uint32Array(n)
  let ties = 0
  for (let from = 0; from < n;) {
    let to = from + 1
    while (to < n && Math.abs(changed[to]!) === Math.abs(changed[from]!)) to++
    ranks.fill(from + 1 + to, from, to)
    ties += (to - from) ** 3 - (to - from)
    from = to
  }
  const positive = ranks.reduce((sum, rank, i) => (changed[i]! > 0 ? sum + rank : sum), 0)
  if (n <= exactUpTo) return exact(ranks, positive)
  const mean = (n * (n + 1)) / 4
  const sd = Math.sqrt((n * (n + 1) * (2 * n + 1)) / 24 - ties / 48)
  const distance = Math.max(0, Math.abs(positive / 2 - mean) - 0.5)
  return 2 * normalCdf(-distance / sd)
}

/** The share of sign patterns whose sum of positive ranks is as far out as `positive`, on either side. */
function exact(ranks: Uint32Array, positive: number): number {
  const total = ranks.reduce((sum, rank) => sum + rank, 0)
  const patterns = new Float64Array(total + 1)
  patterns[0] = 1
  for (const rank of ranks) for (let sum = total; sum >= rank; sum--) patterns[sum]! += patterns[sum - rank]!
  const outer = Math.min(positive, total - positive)
  const tail = patterns.subarray(0, outer + 1).reduce((sum, count) => sum + count, 0)
  return Math.min(1, (2 * tail) / 2 ** ranks.length)
}
