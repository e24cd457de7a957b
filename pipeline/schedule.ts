/** When cases are wanted again: the order of a run's passes over its cases, asked by whoever decides what to keep. */

import type { Upcoming } from './claims.ts'

/** Where nothing is known of what is to come. */
export const unknownOrder: Upcoming = { nextUse: () => undefined, used() {} }

/** One pass over some cases. */
export interface Pass {
  /** Ids in the order in which they are wanted. */
  readonly ids: readonly string[]
}

/** The passes of a run, told as they begin; the next one must be known then, later ones where they are. */
export class Schedule implements Upcoming {
  #current: Map<string, number> = new Map()
  #at = 0
  #later: readonly Map<string, number>[] = []

  /** A pass begins; `later` are those after it. */
  begin(pass: Pass, later: readonly Pass[]): void {
    this.#current = positions(pass)
    this.#at = 0
    this.#later = later.map(positions)
  }

  used(caseId: string): void {
    this.#at = Math.max(this.#at, (this.#current.get(caseId) ?? -1) + 1)
  }

  nextUse(caseId: string): number {
    const here = this.#current.get(caseId)
    if (here !== undefined && here >= this.#at) return here - this.#at
    let before = this.#current.size - this.#at
    for (const pass of this.#later) {
      const there = pass.get(caseId)
      if (there !== undefined) return before + there
      before += pass.size
    }
    return Infinity
  }
}

function positions({ ids }: Pass): Map<string, number> {
  return new Map(ids.map((id, i) => [id, i]))
}
