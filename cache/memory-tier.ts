/**
 * Entries in memory that go as soon as somebody needs their bytes. What goes first is what is wanted last: the order of
 * what is to come is known, and least recently used, under shuffling, would throw away what is wanted next.
 */

import { LRUCache } from 'lru-cache'
import type { Ledger, Upcoming, Yielding } from '../pipeline/claims.ts'

/** Something that takes bytes. */
export interface Sized {
  readonly bytes: number
}

export interface MemoryTierOptions<Entry> {
  readonly ledger: Ledger
  readonly upcoming: Upcoming
  /** Most bytes of entries that nobody uses; Infinity for what the ledger has. */
  readonly maxBytes: number
  /** Called once with every entry that leaves, and is in nobody's use. */
  readonly dropped?: (entry: Entry) => void
}

interface Kept<Entry> {
  readonly entry: Entry
  readonly caseId: string
  /** As they are counted in the ledger: an entry may grow while it is in use. */
  readonly bytes: number
}

/**
 * Entries by key. One that is in use is pinned: its bytes are part of the claims of those who use it, and it cannot go.
 * The others are yielding bytes of the ledger.
 */
export class MemoryTier<Entry extends Sized> {
  readonly #options: MemoryTierOptions<Entry>
  readonly #share: Yielding
  /** lru-cache for its order; what goes is decided here. */
  readonly #kept: LRUCache<string, Kept<Entry>>
  readonly #pinned = new Map<string, { readonly entry: Entry; readonly caseId: string; pins: number }>()
  #peakBytes = 0

  constructor(options: MemoryTierOptions<Entry>) {
    this.#options = options
    this.#share = options.ledger.yielding('the cache', bytes => this.#evict(bytes))
    this.#kept = new LRUCache({
      maxSize: Math.max(1, Math.min(options.maxBytes, Number.MAX_SAFE_INTEGER)),
      // lru-cache wants positive sizes.
      sizeCalculation: ({ bytes }) => Math.max(1, bytes),
    })
  }

  /** Most bytes that entries have taken at once, those in use included. */
  get peakBytes(): number {
    return this.#peakBytes
  }

  /** The entry, pinned; to be called while a claim that covers it is being granted. Each `pin` wants one `unpin`. */
  pin(key: string): Entry | undefined {
    const pinned = this.#pinned.get(key)
    if (pinned) {
      pinned.pins += 1
      return pinned.entry
    }
    const kept = this.#kept.get(key)
    if (!kept) return undefined
    this.#kept.delete(key)
    this.#share.give(kept.bytes)
    this.#pinned.set(key, { entry: kept.entry, caseId: kept.caseId, pins: 1 })
    return kept.entry
  }

  /** Takes a new entry in, pinned; its bytes are covered by the caller's claim. The entry that counts, should there be one. */
  add(key: string, caseId: string, entry: Entry): Entry {
    const there = this.pin(key)
    if (there) {
      this.#options.dropped?.(entry)
      return there
    }
    this.#pinned.set(key, { entry, caseId, pins: 1 })
    this.#notePeak()
    return entry
  }

  /** One user less. After the last one the entry stays if it is wanted sooner than what would have to go for it. */
  unpin(key: string): void {
    const pinned = this.#pinned.get(key)
    if (!pinned) throw new Error(`not pinned: ${key}`)
    pinned.pins -= 1
    if (pinned.pins > 0) return
    this.#pinned.delete(key)
    const { entry, caseId } = pinned
    if (this.#makeRoomFor(entry.bytes, this.#nextUse(caseId)) && this.#share.take(entry.bytes)) {
      this.#kept.set(key, { entry, caseId, bytes: entry.bytes })
      this.#notePeak()
    } else this.#options.dropped?.(entry)
  }

  /** Whether an entry of so many bytes, were it here, would stay. */
  wouldKeep(caseId: string, bytes: number): boolean {
    return this.#makeRoomFor(bytes, this.#nextUse(caseId), true)
  }

  /** What is not known to be wanted counts as wanted some time: later than all that is known, sooner than never. */
  #nextUse(caseId: string): number {
    return this.#options.upcoming.nextUse(caseId) ?? Number.MAX_VALUE
  }

  #makeRoomFor(bytes: number, nextUse: number, onlyAsking = false): boolean {
    if (nextUse === Infinity) return false
    let missing = Math.max(this.#share.bytes + bytes - this.#options.maxBytes, bytes - this.#share.room)
    if (missing <= 0) return true
    const victims: string[] = []
    for (const { key, kept, at } of this.#lastWantedFirst()) {
      if (missing <= 0) break
      // Of two that are wanted equally late the one used last stays.
      if (at < nextUse) return false
      victims.push(key)
      missing -= kept.bytes
    }
    if (missing > 0) return false
    if (!onlyAsking) for (const key of victims) this.#drop(key)
    return true
  }

  #evict(bytes: number): void {
    let missing = bytes
    for (const { key, kept } of this.#lastWantedFirst()) {
      if (missing <= 0) return
      missing -= kept.bytes
      this.#drop(key)
    }
  }

  /** Entries by their next use, the farthest first; of equals the least recently used first. */
  #lastWantedFirst(): { key: string; kept: Kept<Entry>; at: number }[] {
    return [...this.#kept.rkeys()]
      .map(key => {
        const kept = this.#kept.peek(key)!
        return { key, kept, at: this.#nextUse(kept.caseId) }
      })
      .toSorted((a, b) => (a.at === b.at ? 0 : b.at - a.at))
  }

  #drop(key: string): void {
    const kept = this.#kept.peek(key)
    // Giving bytes back lets the ledger grant others theirs, and these may have pinned it or made it go.
    if (!kept) return
    this.#kept.delete(key)
    this.#share.give(kept.bytes)
    this.#options.dropped?.(kept.entry)
  }

  #notePeak(): void {
    const inUse = [...this.#pinned.values()].reduce((sum, { entry }) => sum + entry.bytes, 0)
    this.#peakBytes = Math.max(this.#peakBytes, this.#share.bytes + inUse)
  }
}
