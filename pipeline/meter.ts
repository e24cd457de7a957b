/**
 * Who works and who waits: seconds of every stage of a run, though its stages work at the same time and volumes are pulled
 * lazily.
 *
 * A stage works in calls: its function on an item, and, long after that has returned, each pull of a slab or a region from
 * a volume that it has made. A call is outstanding from its beginning until it returns or its promise settles. While it is
 * outstanding it makes calls itself, to the stage before. For each case, the stage has `own` calls outstanding and has made
 * `below` of its own; at every moment `own - below` of them (never less than 0) are at work and the others wait for input.
 * Those that wait for the ledger or for their turn at the engine are not at work either. Busy seconds are the integral of
 * the calls at work: two cases side by side for one second are two seconds.
 *
 * What this cannot see: a call that is outstanding but whose continuation waits for the main thread, busy with another
 * stage, counts as at work. Sums over stages may therefore exceed the processor's time. The engine's own seconds, where it
 * tells them, replace the time from call to answer.
 */

import type { Claim } from './claims.ts'
import { StageMeter, type StageFigures, type StageTraits } from './stage-meter.ts'

export interface MeterSnapshot {
  readonly stages: readonly StageFigures[]
  /** Time in which somebody waited for the ledger. */
  readonly memoryWaitedSeconds: number
}

export interface EngineCall {
  readonly stage: StageMeter
  /** When the engine turned to it; until then Infinity. */
  since: number
}

/** Seconds that only grow. */
export type Clock = () => number

const monotonic: Clock = () => performance.now() / 1000

/** The meter of one run. Its stages are listed in the order of the flow. */
export class Meter {
  readonly stages: StageMeter[] = []
  /** Claims that have been granted and not released. */
  readonly holders = new Set<{ readonly what: string; readonly claim: Claim }>()
  readonly engineCalls: EngineCall[] = []
  /** The longest call to the engine that has ended. */
  longestEngineSeconds = 0
  readonly now: Clock
  /** When something has last happened in any stage: an item, a slab, a step, a claim. */
  movedAt: number
  #countedTo: number
  #memoryWaited = 0

  constructor(now: Clock = monotonic) {
    this.now = now
    this.movedAt = this.#countedTo = now()
  }

  /** A row for a stage that comes after those so far. */
  stage(kind: string, traits: StageTraits): StageMeter {
    const stage = new StageMeter(kind, traits, this)
    this.stages.push(stage)
    return stage
  }

  snapshot(): MeterSnapshot {
    this.#count()
    return { stages: this.stages.map(stage => stage.figures()), memoryWaitedSeconds: this.#memoryWaited }
  }

  /** Called before anything changes. */
  moves(): void {
    this.#count()
    this.movedAt = this.#countedTo
  }

  /** The time since the last change goes to where each stage has been since then. */
  #count(): void {
    const now = this.now()
    const seconds = now - this.#countedTo
    this.#countedTo = now
    if (seconds <= 0) return
    let claims = 0
    let isAnybodyAtWork = false
    for (const stage of this.stages) {
      stage.spend(seconds, claims > 0 && !isAnybodyAtWork)
      claims += stage.claims.size
      isAnybodyAtWork ||= stage.atWork > 0
    }
    if (claims > 0) this.#memoryWaited += seconds
  }
}
