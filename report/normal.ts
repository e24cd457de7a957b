/** The standard normal distribution. */

/** P(X <= x), to the last digits of float64 also far in the lower tail. */
export function normalCdf(x: number): number {
  if (x > 0) return 1 - normalCdf(-x)
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
  if (x > -3) {
    // 0.5 + density (x + x^3/3 + x^5/15 + ...): Marsaglia, "Evaluating the normal distribution", J. Stat. Softw. 11 (4), 2004
    let [sum, term, before] = [x, x, 0]
    for (let k = 3; sum !== before; k += 2) {
      before = sum
      term *= (x * x) / k
      sum += term
    }
    return 0.5 + density * sum
  }
  // density / (y + 1 / (y + 2 / (y + ...))), from its far end: Laplace's continued fraction, quick to settle above 3
  let fraction = -x
  for (let k = 120; k >= 1; k--) fraction = -x + k / fraction
  return density / fraction
}

/** The x with P(X <= x) = p; minus or plus infinity at 0 and 1. */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p)
  if (p === 0) return -Infinity
  // No normal deviate that a float64 can tell from certainty lies below -40.
  let [low, high] = [-40, 0]
  for (;;) {
    const middle = (low + high) / 2
    if (middle === low || middle === high) return high
    if (normalCdf(middle) < p) low = middle
    else high = middle
  }
}
