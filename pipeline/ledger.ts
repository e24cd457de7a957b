/**
 * One limit for everything that lives: who wants bytes asks, waits in line until they are there, and gives them back.
 *
 * Why nobody waits for ever: a case claims once and never grows; claims are granted in the order in which they were
 * made, and stages keep the order of cases, so whoever holds bytes waits only for claims that were granted before. What
 * yields (caches) goes at once. Reserves are taken before anything flows.
 */

import { formatBytes } from './bytes.ts'
import { PipelineError } from './errors.ts'
import type { Claim, Ledger, Yielding } from './claims.ts'

/** A ledger as its run sees it. */
export interface RunLedger extends Ledger {
  report(): LedgerReport
  /** How many claims wait, and what the first of them wants; undefined where none does. */
  waiting(): { readonly claims: number; readonly first: string; readonly bytes: number | undefined } | undefined
  /** Ends all waiting; claims that are held may still be released. */
  close(): void
}

export interface LedgerReport {
  readonly limitBytes: number
  /** Taken now: reserves, claims, what yields. */
  readonly liveBytes: number
  readonly peakLiveBytes: number
  /** By name. */
  readonly reserves: Readonly<Record<string, number>>
}

interface Waiting {
  readonly what: string
  bytes: number | undefined
  readonly granted: (() => void) | undefined
  readonly resolve: (claim: Claim) => void
  readonly reject: (error: unknown) => void
}

/** A ledger over `limitBytes`. */
export function openLedger(limitBytes: number): RunLedger {
  return new OneLimit(limitBytes)
}

class OneLimit implements RunLedger {
  readonly limitBytes: number
  readonly #reserves = new Map<string, number>()
  #reserved = 0
  #claimed = 0
  #peak = 0
  readonly #yielding: YieldingShare[] = []
  #line: Waiting[] = []
  #closed = false
  #isBusy = false

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  reserve(what: string, bytes: number, cure: string): void {
    const reserved = this.#reserved - (this.#reserves.get(what) ?? 0) + bytes
    if (reserved > this.limitBytes) {
      const others = [...this.#reserves].filter(([name]) => name !== what)
      const beside = others.map(([name, taken]) => `${formatBytes(taken)} for ${name}`).join(', ')
      throw new PipelineError(
        'ERR_DEFINITION',
        `/memory: expected at least ${formatBytes(reserved)}, found ${formatBytes(this.limitBytes)}: ${what} takes ${formatBytes(bytes)}${beside && ` beside ${beside}`}; ${cure}`,
        { needed: reserved, limit: this.limitBytes },
      )
    }
    this.#reserves.set(what, bytes)
    this.#reserved = reserved
    this.#undisturbed(() => this.#makeRoom(0))
    this.#notePeak()
    this.#grant()
  }

  claim(what: string, bytes: number | Promise<number>, granted?: () => void): Promise<Claim> {
    if (this.#closed) {
      // Nobody waits for it any more, and an error of its own is not worth a crash.
      if (typeof bytes !== 'number') bytes.catch(() => {})
      return Promise.reject(interrupted())
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { what, bytes: undefined, granted, resolve, reject }
      this.#line.push(waiting)
      if (typeof bytes === 'number') this.#told(waiting, bytes)
      else
        bytes.then(
          told => this.#told(waiting, told),
          (error: unknown) => this.#refuse(waiting, error),
        )
    })
  }

  yielding(what: string, evict: (bytes: number) => void): Yielding {
    const share = new YieldingShare(what, evict, {
      room: () => Math.max(0, this.limitBytes - this.#taken()),
      taken: () => this.#notePeak(),
      given: () => this.#grant(),
    })
    this.#yielding.push(share)
    return share
  }

  report(): LedgerReport {
    return {
      limitBytes: this.limitBytes,
      liveBytes: this.#taken(),
      peakLiveBytes: this.#peak,
      reserves: Object.fromEntries(this.#reserves),
    }
  }

  waiting(): ReturnType<RunLedger['waiting']> {
    const first = this.#line[0]
    return first && { claims: this.#line.length, first: first.what, bytes: first.bytes }
  }

  close(): void {
    this.#closed = true
    for (const waiting of this.#line.splice(0)) waiting.reject(interrupted())
  }

  #taken(): number {
    return this.#reserved + this.#claimed + this.#yielding.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  #told(waiting: Waiting, bytes: number): void {
    if (bytes > this.limitBytes - this.#reserved) return this.#refuse(waiting, this.#tooLarge(waiting.what, bytes))
    waiting.bytes = bytes
    this.#grant()
  }

  #refuse(waiting: Waiting, error: unknown): void {
    this.#line = this.#line.filter(other => other !== waiting)
    waiting.reject(error)
    this.#grant()
  }

  /** Grants from the front of the line what there is room for. */
  #grant(): void {
    if (this.#isBusy) return
    this.#undisturbed(() => {
      for (let first = this.#line[0]; first; first = this.#line[0]) {
        if (first.bytes === undefined) return
        // A reserve may have come after the claim was told.
        if (first.bytes > this.limitBytes - this.#reserved) {
          this.#line.shift()
          first.reject(this.#tooLarge(first.what, first.bytes))
          continue
        }
        if (this.#reserved + this.#claimed + first.bytes > this.limitBytes) return
        this.#line.shift()
        // First what is pinned: it leaves what yields, so that it is not evicted for itself.
        first.granted?.()
        this.#makeRoom(first.bytes)
        this.#claimed += first.bytes
        this.#notePeak()
        first.resolve(this.#claimOf(first.bytes))
      }
    })
  }

  /**
   * Runs what gives bytes back in several steps; nobody is granted anything between them. Else what `granted` and `evict` give
   * back would be granted in the middle of the grant, and an entry that makes room for itself would see it go to others.
   */
  #undisturbed(work: () => void): void {
    const wasBusy = this.#isBusy
    this.#isBusy = true
    try {
      work()
    } finally {
      this.#isBusy = wasBusy
    }
  }

  #claimOf(held: number): Claim {
    let released = false
    const works: (() => void)[] = []
    const giveBack = (bytes: number): void => {
      this.#claimed -= bytes
      held -= bytes
    }
    return {
      get bytes() {
        return held
      },
      shrinkTo: bytes => {
        if (released || bytes >= held) return
        giveBack(held - bytes)
        this.#grant()
      },
      release: () => {
        if (released) return
        released = true
        giveBack(held)
        // Before others are granted: what was pinned may stay, if nobody needs its room.
        try {
          this.#undisturbed(() => {
            for (const work of works.splice(0)) work()
          })
        } finally {
          this.#grant()
        }
      },
      whenReleased(work) {
        if (released) work()
        else works.push(work)
      },
    }
  }

  /** What yields goes, the largest first, until `bytes` more fit under the limit or nothing is left. */
  #makeRoom(bytes: number): void {
    for (const share of this.#yielding.toSorted((a, b) => b.bytes - a.bytes)) {
      const missing = this.#taken() + bytes - this.limitBytes
      if (missing <= 0) return
      if (share.bytes > 0) share.evict(Math.min(missing, share.bytes))
    }
  }

  #notePeak(): void {
    this.#peak = Math.max(this.#peak, this.#taken())
  }

  #tooLarge(what: string, bytes: number): PipelineError {
    const room = this.limitBytes - this.#reserved
    const reserves = [...this.#reserves].map(([name, taken]) => `${formatBytes(taken)} for ${name}`).join(', ')
    return new PipelineError(
      'ERR_VOLUME',
      `${what}: needs ${formatBytes(bytes)} at once, and "memory" leaves ${formatBytes(room)} for a case (${formatBytes(this.limitBytes)}${reserves && `, less ${reserves}`}); raise "memory" to at least ${formatBytes(this.#reserved + bytes)}, or choose a coarser spacing`,
      { needed: bytes, room, limit: this.limitBytes },
    )
  }
}

class YieldingShare implements Yielding {
  readonly what: string
  readonly evict: (bytes: number) => void
  readonly #ledger: { room(): number; taken(): void; given(): void }
  #bytes = 0

  constructor(what: string, evict: (bytes: number) => void, ledger: { room(): number; taken(): void; given(): void }) {
    this.what = what
    this.evict = evict
    this.#ledger = ledger
  }

  get bytes(): number {
    return this.#bytes
  }

  get room(): number {
    return this.#ledger.room()
  }

  take(bytes: number): boolean {
    if (bytes > this.room) return false
    this.#bytes += bytes
    // Nobody is granted anything here: the taker has not noted yet what could be evicted of it.
    this.#ledger.taken()
    return true
  }

  give(bytes: number): void {
    if (bytes > this.#bytes) throw new Error(`${this.what}: gave back ${bytes} bytes of ${this.#bytes}`)
    this.#bytes -= bytes
    this.#ledger.given()
  }
}

function interrupted(): PipelineError {
  return new PipelineError('ERR_INTERRUPTED', 'interrupted')
}
