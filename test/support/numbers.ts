/** Numbers for tests: draws and distances. */

import { rng } from '../../pipeline/random.ts'

/** Standard normal draws, the same for the same name. */
export function normals(n: number, name: string, scale = 1): Float32Array {
  const draws = rng(1, 0, 0, name)
  return Float32Array.from({ length: n }, () => scale * draws.normal())
}

/** The nearest bfloat16 of each number, ties to even: 8 significant bits. For normal numbers. */
export function toBfloat16(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values, value => {
    if (value === 0 || !Number.isFinite(value)) return value
    const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7)
    const steps = value / unit
    const down = Math.floor(steps)
    const rest = steps - down
    return unit * (rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down)
  })
}

/** The nearest half-precision number of each number, ties to even. For numbers below 65520. */
export function toFloat16(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values, value => {
    if (value === 0) return value
    const unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10)
    const steps = value / unit
    const down = Math.floor(steps)
    const rest = steps - down
    return unit * (rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down)
  })
}

/** Class indices, the same for the same name. */
export function classes(n: number, count: number, name: string): Uint8Array {
  const draws = rng(1, 0, 0, name)
  return Uint8Array.from({ length: n }, () => draws.integer(count))
}

/** Largest absolute difference; NaN counts as infinite. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity
  let largest = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    largest = Number.isNaN(difference) ? Infinity : Math.max(largest, difference)
  }
  return largest
}

/** |a - b| / |b| in the Euclidean norm. */
export function relativeDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity
  let error = 0
  for (let i = 0; i < a.length; i++) error += (a[i]! - b[i]!) ** 2
  return Math.sqrt(error) / norm(b)
}

/** Euclidean norm. */
export function norm(a: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! ** 2
  return Math.sqrt(sum)
}
