/** One at a time, in the order in which they ask. */
export class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Waits for the turn; gives how to end it, which may be called again. */
  async take(): Promise<() => void> {
    const before = this.#last
    let end!: () => void
    this.#last = new Promise(resolve => (end = resolve))
    await before
    return end
  }
}
