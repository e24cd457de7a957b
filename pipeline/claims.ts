/** Who takes how much of the run's one limit, and when cases are wanted again. A leaf: types only. */

/** A part of the run's memory that somebody holds. */
export interface Claim {
  readonly bytes: number
  /** Gives back what is beyond `bytes`. A claim never grows: who needs more has asked for too little. */
  shrinkTo(bytes: number): void
  /** Gives everything back; again, nothing happens. */
  release(): void
  /** Calls `work` at the release, or now where that has been. */
  whenReleased(work: () => void): void
}

/** Bytes that live at once for a case. */
export interface Need {
  /** At most, from its first voxel to the end of its way. */
  readonly bytes: number
  /** At most, once a cache has made its volumes; they themselves are not among them. */
  readonly later: number
}

/**
 * Who takes how much of the run's one limit. A case claims once, before its first voxel, all that it will need, and then
 * only gives back; claims are granted in the order in which they were made, so that nobody waits for a later one.
 */
export interface Ledger {
  readonly limitBytes: number
  /** Taken for as long as the run goes on: the engine, batches in flight. ERR_DEFINITION where it is not there. */
  reserve(what: string, bytes: number, cure: string): void
  /**
   * Waits for its turn and its room. `bytes` may still be on its way; those behind wait for it. Before others see the room as
   * taken, `granted` runs. Rejects with ERR_VOLUME where it could never be granted, with ERR_INTERRUPTED at the run's end.
   */
  claim(what: string, bytes: number | Promise<number>, granted?: () => void): Promise<Claim>
  /** Bytes that go as soon as somebody claims them; `evict` must give back at least so many, or all it has. */
  yielding(what: string, evict: (bytes: number) => void): Yielding
}

/** What a cache holds in the ledger. */
export interface Yielding {
  readonly bytes: number
  /** How many bytes could be taken now. */
  readonly room: number
  /** Takes bytes that nobody has; false, and nothing taken, where they are not there. */
  take(bytes: number): boolean
  give(bytes: number): void
}

/** When cases are wanted again, as far as the run knows. */
export interface Upcoming {
  /** How many cases from now this one is wanted again; Infinity for never, undefined where the run cannot tell. */
  nextUse(caseId: string): number | undefined
  /** The case is in use now: what was said of it from here on means the time after. */
  used(caseId: string): void
}
