/** How long a batch will still take, by what its cases have taken so far. */

/**
 * Counts the cases that are worked on and the time in which there are any: those that were found done, and the time that
 * finding it took, say nothing about the others.
 */
export class Eta {
  readonly #now: () => number
  #atWork = 0
  #since = 0
  #busySeconds = 0
  #ended = 0

  /** `now` in seconds. */
  constructor(now: () => number = () => performance.now() / 1000) {
    this.#now = now
  }

  /** A case begins. */
  began(): void {
    if (this.#atWork === 0) this.#since = this.#now()
    this.#atWork += 1
  }

  /** A case that began has come to its end, good or bad. */
  ended(): void {
    this.#atWork -= 1
    this.#ended += 1
    if (this.#atWork === 0) this.#busySeconds += this.#now() - this.#since
  }

  /** Seconds until so many cases have ended, those at work among them; undefined before the first one has. */
  left(cases: number): number | undefined {
    if (this.#ended === 0) return undefined
    const busy = this.#busySeconds + (this.#atWork > 0 ? this.#now() - this.#since : 0)
    return (cases * busy) / this.#ended
  }
}

/** "about 54 min left", as exact as such a guess is. */
export function leftText(seconds: number): string {
  if (seconds < 90) return `about ${Math.ceil(seconds)} s left`
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return `about ${minutes} min left`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `about ${hours} h ${minutes % 60} min left` : `about ${Math.round(hours / 24)} days left`
}
