/** Stages under the meter: their transforms, and what the run lends them. */

import highland from 'highland'
import type { Meter } from './meter.ts'
import { subjectOf, type StageMeter, type StageTraits, type Subject } from './stage-meter.ts'
import { toldTo } from './probe.ts'
import { madeBy, readBy } from './metered-volumes.ts'
import type { Ledger } from './claims.ts'
import type { Engine } from './engine.ts'
import type { Item } from './flow.ts'
import type { Context, Transform, Upstream } from './stage.ts'

/** Builds a stage whose time is counted in a row of its own, the next one of the meter. */
export function meteredStage(
  meter: Meter,
  kind: string,
  traits: StageTraits,
  create: (context: Context, before: Upstream) => Transform,
  context: Context,
  before: Upstream,
): Transform {
  const stage = meter.stage(kind, traits)
  // Copies keep what a context or an engine of a later day has besides.
  const lent = {
    ...context,
    ledger: ledgerFor(stage, context.ledger),
    engine: () => engineFor(stage, context.engine()),
  }
  const upstream = traits.wraps ? { ...before, flow: calledBy(stage, before.flow) } : before
  return metered(stage, create(lent, upstream))
}

/** Counts what goes into a transform, what it works on and what comes out. */
export function metered(stage: StageMeter, transform: Transform): Transform {
  return source => {
    let tellsItself = false
    // The item that is being handed in; a stage without lifted functions, such as one that groups, works on it at once.
    let handed: Item | undefined
    const handedOver = (): void => {
      if (handed) stage.ended(handed)
      handed = undefined
    }
    const passage = new Passage(stage)
    const entering = highland<Item>((push, next) => {
      passage.asks()
      source.pull((error: unknown, item) => {
        const isNil = highland.isNil(item)
        passage.answered(!error && !isNil)
        if (error) push(error as Error)
        else if (isNil) return push(null, highland.nil)
        else {
          if (!tellsItself) stage.began((handed = item))
          push(null, readBy(stage, item))
          handedOver()
        }
        next()
      })
    })
    const probe = (): StageMeter => {
      tellsItself = true
      return stage
    }
    return toldTo(probe, () => transform(entering)).consume<Item>((error, item, push, next) => {
      handedOver()
      if (highland.isNil(item)) {
        passage.end()
        return push(null, highland.nil)
      }
      if (error) push(error)
      else {
        stage.gives()
        push(null, madeBy(stage, item))
      }
      next()
    })
  }
}

/** The passages that are being put together for a stage that runs them itself. */
let collected: Passage[] | undefined

/** One use of a stage's transform, from the time it is put together to its end. */
class Passage {
  readonly #stage: StageMeter
  #asked = 0
  #isOver = false

  constructor(stage: StageMeter) {
    this.#stage = stage
    stage.begins()
    collected?.push(this)
  }

  asks(): void {
    if (this.#isOver) return
    this.#asked++
    this.#stage.asks()
  }

  answered(isItem: boolean): void {
    if (this.#isOver) return
    this.#asked--
    this.#stage.answered(isItem)
  }

  /** Again, nothing happens. */
  end(): void {
    for (; this.#asked > 0; this.#asked--) this.#stage.answered(false)
    if (!this.#isOver) this.#stage.ends()
    this.#isOver = true
  }
}

/** The flow before a stage that runs it itself: what it lasts is a call of that stage, which also reads its volumes. */
function calledBy(stage: StageMeter, flow: Transform): Transform {
  return source => {
    const open: Subject[] = []
    const close = (of: Subject): void => {
      const at = open.indexOf(of)
      if (at < 0) return
      open.splice(at, 1)
      stage.calls(of, -1)
    }
    const entering = source.map(item => {
      open.push(subjectOf(item))
      stage.calls(subjectOf(item), 1)
      return item
    })
    const passages: Passage[] = []
    // Whoever waits for a flow's result as a promise leaves it at the first error: no end will come.
    const end = (): void => {
      while (open.length > 0) close(open[0]!)
      for (const passage of passages) passage.end()
    }
    return collecting(passages, () => flow(entering)).consume<Item>((error, item, push, next) => {
      if (error) {
        end()
        push(error)
      } else if (highland.isNil(item)) {
        end()
        return push(null, highland.nil)
      } else {
        close(subjectOf(item))
        push(null, readBy(stage, item))
      }
      next()
    })
  }
}

function collecting<T>(passages: Passage[], build: () => T): T {
  const outer = collected
  collected = passages
  try {
    return build()
  } finally {
    collected = outer
  }
}

function ledgerFor(stage: StageMeter, ledger: Ledger): Ledger {
  return {
    get limitBytes() {
      return ledger.limitBytes
    },
    reserve: (what, bytes, cure) => ledger.reserve(what, bytes, cure),
    // Asked at once: the order of claims is the order of the calls.
    claim: (what, bytes, granted) => stage.waitsForMemory(what, bytes, ledger.claim(what, bytes, granted)),
    yielding: (what, evict) => ledger.yielding(what, evict),
  }
}

function engineFor(stage: StageMeter, engine: Engine): Engine {
  return {
    ...engine,
    step: batch => stage.computes(() => engine.step(batch)),
    infer: (windows, count, shape, to) => stage.computes(() => engine.infer(windows, count, shape, to)),
  }
}
