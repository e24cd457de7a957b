/**
 * Counter-based random numbers: a draw is a function of its coordinates (seed, epoch, case, stage, draw), never of what
 * was drawn before. Workers, order and resumption therefore change nothing.
 *
 * The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */

/** A stream of draws at one coordinate. */
export interface Rng {
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number
  /** Uniform integer in [0, n); n >= 1. */
  integer(n: number): number
  /** Standard normal (Box-Muller). */
  normal(): number
}

/** The draws of one stage for one case in one epoch; `draw` tells several independent streams there apart. */
export function rng(seed: number, epoch: number, caseIndex: number, stage: string, draw = 0): Rng {
  const key0 = seed >>> 0
  const key1 = (hash32(stage) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0
  let block = 0
  let words: readonly number[] = []
  let at = 4
  const word = (): number => {
    if (at === 4) {
      words = philox4x32([block++, draw >>> 0, caseIndex >>> 0, epoch >>> 0], [key0, key1])
      at = 0
    }
    return words[at++]!
  }
  const uniform = (): number => {
    const high = word() >>> 5
    const low = word() >>> 6
    return (high * 67108864 + low) / 9007199254740992
  }
  return {
    uniform,
    integer: n => Math.floor(uniform() * n),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  }
}

/** The order of n things in one epoch: Fisher-Yates with the draws of that coordinate. */
export function shuffled(n: number, seed: number, epoch: number): number[] {
  const order = Array.from({ length: n }, (_, i) => i)
  const draws = rng(seed, epoch, 0, 'shuffle')
  for (let i = n - 1; i > 0; i--) {
    const j = draws.integer(i + 1)
    const swap = order[i]!
    order[i] = order[j]!
    order[j] = swap
  }
  return order
}

/** One Philox4x32-10 block: four 32-bit words from a 128-bit counter and a 64-bit key. */
export function philox4x32(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter as [number, number, number, number]
  let [k0, k1] = key as [number, number]
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply32(0xd2511f53, c0)
    const [high1, low1] = multiply32(0xcd9e8d57, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** The 64-bit product of two unsigned 32-bit integers as [high, low]. */
function multiply32(a: number, b: number): [number, number] {
  const aHigh = a >>> 16
  const aLow = a & 0xffff
  const bHigh = b >>> 16
  const bLow = b & 0xffff
  const low = aLow * bLow
  const middle = aHigh * bLow + Math.floor(low / 65536)
  const carry = aLow * bHigh + (middle % 65536)
  return [(aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0, Math.imul(a, b) >>> 0]
}

/** FNV-1a, so that a stage's name becomes a key. */
function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
