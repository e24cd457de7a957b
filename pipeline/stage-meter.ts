/** One stage's row of the meter: what it has outstanding for each case, and where its seconds went. How they count: meter.ts. */

import type { EngineCall, Meter } from './meter.ts'
import type { Probe } from './probe.ts'
import type { Claim } from './claims.ts'
import type { Batch } from './engine.ts'
import type { Case, Item, Key } from './flow.ts'
import type { Slab } from './grid.ts'

/** Where a stage's time went, seconds since the run began. */
export interface StageFigures {
  readonly kind: string
  /** Own code at work, summed over what runs in parallel. */
  readonly busySeconds: number
  /** Time in which at least one call was at work. */
  readonly workingSeconds: number
  /** The part of `busySeconds` in the engine. */
  readonly engineSeconds: number
  /** Calls that wait for the stages before, summed; and time in which the stage had nothing to do and had asked for an item. */
  readonly waitingForInputSeconds: number
  /**
   * Calls that wait for the ledger, summed; and time in which the stage had asked for an item and nothing before it was at
   * work, since somebody there waited for the ledger.
   */
  readonly waitingForMemorySeconds: number
  /** Calls that wait for the engine, which is at work on another, summed. */
  readonly waitingForEngineSeconds: number
  /** Time in which the stage had nothing to do and nobody had asked it for more. */
  readonly waitingDownstreamSeconds: number
  /** Time in which a flow with this stage ran. */
  readonly runningSeconds: number
  /** How often a flow with this stage began: epochs, validations; for what a cache runs itself, cases. */
  readonly passes: number
  readonly itemsIn: number
  readonly items: number
  /** Voxels that were pulled from volumes that the stage made, as float32. */
  readonly bytes: number
}

/** A call's subject: the case, which stays the same object from stage to stage, or the batch or step itself. */
export type Subject = Case | Exclude<Item, { readonly case: Case }>

/** What a stage has outstanding for one subject. */
export interface Frame {
  readonly of: Subject
  own: number
  below: number
  /** The volumes that are being pulled from this stage, once per pull. */
  readonly keys: Key[]
  /** When one of these has last changed. */
  since: number
}

export interface WaitingClaim {
  readonly what: string
  readonly bytes: number
  readonly since: number
}

/** What is known of a stage besides its kind. */
export interface StageTraits {
  readonly takes: readonly string[]
  readonly gives: string
  /** Whether it runs those before it itself. */
  readonly wraps: boolean
}

/** One stage's row of the meter; flows and lifted functions tell it what begins and ends. */
export class StageMeter implements Probe {
  readonly kind: string
  readonly traits: StageTraits
  readonly frames = new Map<Subject, Frame>()
  readonly claims = new Set<WaitingClaim>()
  /** Flows with this stage that run. */
  running = 0
  /** Items that it has asked for and not got. */
  asked = 0
  readonly #meter: Meter
  readonly #spent = { busy: 0, working: 0, engine: 0, input: 0, memory: 0, engineTurn: 0, downstream: 0, running: 0 }
  #passes = 0
  #itemsIn = 0
  #items = 0
  #bytes = 0
  /** Sums over the frames. */
  #workingCalls = 0
  #waitingCalls = 0

  constructor(kind: string, traits: StageTraits, meter: Meter) {
    this.kind = kind
    this.traits = traits
    this.#meter = meter
  }

  /** Calls at work now. */
  get atWork(): number {
    return Math.max(0, this.#workingCalls - this.claims.size - this.#queued)
  }

  get #queued(): number {
    return this.#meter.engineCalls.reduce((sum, call, i) => sum + (i > 0 && call.stage === this ? 1 : 0), 0)
  }

  /** For the meter: `seconds` have passed; `isStalled` when those before this stage only wait for the ledger. */
  spend(seconds: number, isStalled: boolean): void {
    if (this.running === 0 && this.frames.size === 0) return
    const spent = this.#spent
    const { atWork } = this
    spent.busy += atWork * seconds
    if (atWork > 0) spent.working += seconds
    if (this.#meter.engineCalls[0]?.stage === this) spent.engine += seconds
    spent.input += this.#waitingCalls * seconds
    spent.memory += this.claims.size * seconds
    spent.engineTurn += this.#queued * seconds
    if (this.running === 0) return
    spent.running += seconds
    if (this.frames.size > 0) return
    if (this.asked === 0) spent.downstream += seconds
    else if (isStalled) spent.memory += seconds
    else spent.input += seconds
  }

  figures(): StageFigures {
    const { busy, working, engine, input, memory, engineTurn, downstream, running } = this.#spent
    return {
      kind: this.kind,
      busySeconds: busy,
      workingSeconds: working,
      engineSeconds: engine,
      waitingForInputSeconds: Math.max(0, input),
      waitingForMemorySeconds: memory,
      waitingForEngineSeconds: engineTurn,
      waitingDownstreamSeconds: downstream,
      runningSeconds: running,
      passes: this.#passes,
      itemsIn: this.#itemsIn,
      items: this.#items,
      bytes: this.#bytes,
    }
  }

  /** A flow with this stage begins, */
  begins(): void {
    this.#meter.moves()
    this.running++
    this.#passes++
  }

  /** and has ended, in whatever way. */
  ends(): void {
    this.#meter.moves()
    this.running--
  }

  asks(): void {
    this.#meter.moves()
    this.asked++
  }

  /** What was asked for has come: an item, an error or the end. */
  answered(isItem: boolean): void {
    this.#meter.moves()
    this.asked--
    if (isItem) this.#itemsIn++
  }

  /** An item leaves. */
  gives(): void {
    this.#meter.moves()
    this.#items++
  }

  began(item: Item): void {
    this.#meter.moves()
    this.#shift(subjectOf(item), 1, 0)
  }

  ended(item: Item): void {
    this.#meter.moves()
    this.#shift(subjectOf(item), -1, 0)
  }

  /** A call to the stages before begins (1) or ends (-1) that is not one to read a volume: a stage that wraps runs them. */
  calls(of: Subject, by: 1 | -1): void {
    this.#meter.moves()
    this.#shift(of, 0, by)
  }

  /** `read` gets voxels of a volume that `maker` has made, on behalf of this stage. */
  async reads<T>(maker: StageMeter, of: Subject, key: Key, read: () => Promise<T>): Promise<T> {
    this.#meter.moves()
    maker.#shift(of, 1, 0, key)
    this.#shift(of, 0, 1)
    try {
      return await read()
    } finally {
      this.#meter.moves()
      maker.#shift(of, -1, 0, key)
      this.#shift(of, 0, -1)
    }
  }

  /** Somebody has got this slab of a volume of the stage. */
  pulled({ voxels }: Pick<Slab, 'voxels'>): void {
    this.#bytes += voxels.byteLength
  }

  /** Waits for `granted` in the line of the ledger. */
  async waitsForMemory(what: string, bytes: number | Promise<number>, granted: Promise<Claim>): Promise<Claim> {
    let entry: WaitingClaim | undefined
    let isOver = false
    const wait = (told: number): void => {
      if (isOver) return
      this.#meter.moves()
      entry = { what, bytes: told, since: this.#meter.now() }
      this.claims.add(entry)
    }
    if (typeof bytes === 'number') wait(bytes)
    // The stage is still finding out how much it needs, which is its own work. An error comes with `granted`.
    else void bytes.then(wait, () => {})
    try {
      const claim = await granted
      const holder = { what, claim }
      this.#meter.holders.add(holder)
      claim.whenReleased(() => void this.#meter.holders.delete(holder))
      return claim
    } finally {
      this.#meter.moves()
      isOver = true
      if (entry) this.claims.delete(entry)
    }
  }

  /** A call to the engine, which serves one after the other. A result that says how many seconds it took is believed. */
  async computes<T>(call: () => Promise<T>): Promise<T> {
    const { engineCalls, now } = this.#meter
    this.#meter.moves()
    const entry: EngineCall = { stage: this, since: engineCalls.length === 0 ? now() : Infinity }
    engineCalls.push(entry)
    try {
      const result = await call()
      this.#meter.moves()
      const seconds = (result as { readonly seconds?: unknown } | undefined)?.seconds
      if (typeof seconds === 'number' && entry.since < Infinity) this.#correct(seconds - (now() - entry.since))
      return result
    } finally {
      this.#meter.moves()
      if (entry.since < Infinity)
        this.#meter.longestEngineSeconds = Math.max(this.#meter.longestEngineSeconds, now() - entry.since)
      engineCalls.splice(engineCalls.indexOf(entry), 1)
      if (engineCalls[0]?.since === Infinity) engineCalls[0].since = now()
    }
  }

  /**
   * The engine was at work for longer or shorter than it seemed: its answer may lie there until the main thread gets to it.
   * What one step loses the next one gains, so that the sum is the engine's own.
   */
  #correct(seconds: number): void {
    this.#spent.busy += seconds
    this.#spent.working += seconds
    this.#spent.engine += seconds
    this.#spent.input -= seconds
  }

  #shift(of: Subject, own: number, below: number, key?: Key): void {
    const frame = this.frames.get(of) ?? { of, own: 0, below: 0, keys: [], since: 0 }
    this.#workingCalls -= working(frame)
    this.#waitingCalls -= frame.own - working(frame)
    frame.own += own
    frame.below += below
    frame.since = this.#meter.now()
    if (key && own > 0) frame.keys.push(key)
    else if (key) frame.keys.splice(frame.keys.indexOf(key), 1)
    this.#workingCalls += working(frame)
    this.#waitingCalls += frame.own - working(frame)
    if (frame.own === 0 && frame.below === 0) this.frames.delete(of)
    else this.frames.set(of, frame)
  }
}

/** How many of a frame's calls are at work. */
export function working({ own, below }: Frame): number {
  return Math.max(0, own - below)
}

/** What calls on an item are counted under. */
export function subjectOf(item: Item): Subject {
  return 'case' in item ? item.case : item
}

/** What to call a subject. */
export function nameOf(subject: Subject): string {
  if ('id' in subject) return subject.id
  return (subject as Batch).cases.join(', ')
}
