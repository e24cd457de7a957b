/**
 * numpy's `RandomState`, from which MONAI's transforms draw: the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998)
 * seeded by `init_genrand`, with numpy's legacy rules for turning its words into numbers. A leaf.
 */

export class NumpyRandom {
  readonly #state = new Uint32Array(624)
  #at = 624

  /** As `RandomState(seed % 2**32)`: MONAI takes seeds modulo 2^32 too. `seed` is a whole number from 0 up to 2^53 - 1. */
  constructor(seed: number) {
    this.#state[0] = seed >>> 0
    for (let i = 1; i < 624; i++) {
      const last = this.#state[i - 1]! ^ (this.#state[i - 1]! >>> 30)
      this.#state[i] = Math.imul(1812433253, last) + i
    }
  }

  /** `uniform(low, high)`, with 53 random bits from two words; without arguments the same as `rand()`. */
  uniform(low = 0, high = 1): number {
    const upper = this.#word() >>> 5
    const unit = (upper * 67108864 + (this.#word() >>> 6)) / 9007199254740992
    return low + (high - low) * unit
  }

  /**
   * `randint(n)`, uniform in [0, n), for 1 <= n <= 2^32: words cut to as many bits as n - 1 has, until one is below n. n = 1
   * draws nothing; n = 2^32 is one whole word, as `randint(2**32, dtype='uint32')`. Anything else is a RangeError.
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32)
      throw new RangeError(`expected a number from 1 to 2^32, found ${n}`)
    if (n === 1) return 0
    const mask = 2 ** (32 - Math.clz32(n - 1)) - 1
    for (;;) {
      const value = (this.#word() & mask) >>> 0
      if (value < n) return value
    }
  }

  #word(): number {
    if (this.#at === 624) this.#twist()
    let y = this.#state[this.#at++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  #twist(): void {
    const s = this.#state
    for (let i = 0; i < 624; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % 624]! & 0x7fffffff)
      s[i] = s[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
    this.#at = 0
  }
}
