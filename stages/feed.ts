/** Items from who makes them to who takes them, one at a time; who makes them waits. */
export class Feed<T> implements AsyncIterable<T> {
  #item: { readonly value: T } | undefined
  #isEnded = false
  #failure: { readonly error: unknown } | undefined
  /** Wakes whoever waits for a change. */
  #changed: (() => void)[] = []

  /** Resolves when the item has been taken; rejects with what the taker failed of. */
  async push(value: T): Promise<void> {
    this.#item = { value }
    this.#change()
    while (this.#item && !this.#failure) await this.#nextChange()
    if (this.#failure) throw this.#failure.error
  }

  end(): void {
    this.#isEnded = true
    this.#change()
  }

  /** Whoever waits, on either side, gets the error; the first one counts. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#change()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#failure) throw this.#failure.error
      if (this.#item) {
        const { value } = this.#item
        this.#item = undefined
        this.#change()
        yield value
      } else if (this.#isEnded) return
      else await this.#nextChange()
    }
  }

  #change(): void {
    for (const wake of this.#changed.splice(0)) wake()
  }

  #nextChange(): Promise<void> {
    return new Promise(resolve => this.#changed.push(resolve))
  }
}
