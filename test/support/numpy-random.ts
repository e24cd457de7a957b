/** numpy's RandomState (MT19937), as far as MONAI's transforms draw from it: for comparing with chains recorded there. */

export class NumpyRandom {
  readonly #state = new Uint32Array(624)
  #at = 624

  constructor(seed: number) {
    this.#state[0] = seed >>> 0
    for (let i = 1; i < 624; i++) {
      const last = this.#state[i - 1]! ^ (this.#state[i - 1]! >>> 30)
      this.#state[i] = Math.imul(1812433253, last) + i
    }
  }

  /** One 32-bit word: also randint(2**32). */
  word(): number {
    if (this.#at === 624) this.#twist()
    let y = this.#state[this.#at++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** rand(). */
  uniform(): number {
    const high = this.word() >>> 5
    return (high * 67108864 + (this.word() >>> 6)) / 9007199254740992
  }

  /** randint(n): masked rejection; n = 1 draws nothing. */
  integer(n: number): number {
    if (n === 1) return 0
    const mask = 2 ** (32 - Math.clz32(n - 1)) - 1
    for (;;) {
      const value = (this.word() & mask) >>> 0
      if (value < n) return value
    }
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
