/** Which stage limits a flow, told from where its stages' time went. */

import type { Meter, MeterSnapshot } from './meter.ts'
import type { StageFigures, StageTraits } from './stage-meter.ts'

/** All shares are of the time in which the flow's last stage ran, 0 to 1. */
export interface Bottleneck {
  /** A stage's kind, or "memory". */
  readonly kind: string
  /** How much of the time it was at work; for memory, how much of the time somebody waited for it. */
  readonly busy: number
  /** The stage at the end of the flow, the engine's in training. */
  readonly last: string
  /** How much of the time that stage had nothing to do because nothing came, */
  readonly lastWaitsForInput: number
  /** and because those before it waited for memory, or it did. */
  readonly lastWaitsForMemory: number
  /** All of it for people, and what helps. */
  readonly text: string
}

/** A last stage that waits no more than this is not to be had faster by anything before it. */
const littleWaiting = 0.1

/** Shorter than this, s, nothing can be said. */
const shortest = 0.01

/** Where the time went since `before` (the run's beginning without it): rows of the stages that ran, and what limited them. */
export function stageTimes(
  meter: Meter,
  before?: MeterSnapshot,
): {
  readonly values: { readonly bottleneck: object | null; readonly stages: readonly object[] }
  readonly text: string
} {
  const spent = between(before, meter.snapshot())
  const found = bottleneckOf(
    spent,
    meter.stages.map(({ traits }) => traits),
  )
  const { text = '', ...bottleneck } = found ?? {}
  const stages = spent.stages.filter(({ runningSeconds, busySeconds }) => runningSeconds > 0 || busySeconds > 0)
  return { values: { bottleneck: found ? rounded(bottleneck) : null, stages: stages.map(rounded) }, text }
}

/** Seconds and shares to a thousandth. */
function rounded(figures: object): object {
  const entries = Object.entries(figures).map(([name, value]: [string, unknown]) => [
    name,
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  ])
  return Object.fromEntries(entries) as object
}

/** What happened between two snapshots of a meter. */
export function between(before: MeterSnapshot | undefined, after: MeterSnapshot): MeterSnapshot {
  if (!before) return after
  return {
    stages: after.stages.map((stage, i) => less(stage, before.stages[i])),
    memoryWaitedSeconds: after.memoryWaitedSeconds - before.memoryWaitedSeconds,
  }
}

function less(after: StageFigures, before: StageFigures | undefined): StageFigures {
  if (!before) return after
  const rest = Object.entries(after).map(([name, value]) => {
    const earlier = before[name as keyof StageFigures]
    return [name, typeof value === 'number' ? Math.max(0, value - (earlier as number)) : value]
  })
  return Object.fromEntries(rest) as unknown as StageFigures
}

/**
 * The last stage where it hardly waits; else whatever was at work for most of the time, or memory where somebody waited
 * for it at least as long. Undefined where nothing has run.
 */
export function bottleneckOf(
  { stages, memoryWaitedSeconds }: MeterSnapshot,
  traits: readonly StageTraits[],
): Bottleneck | undefined {
  const last = lastOf(stages, traits)
  if (!last || last.runningSeconds < shortest) return undefined
  const share = (seconds: number): number => Math.min(1, seconds / last.runningSeconds)
  const found = {
    last: last.kind,
    lastWaitsForInput: share(last.waitingForInputSeconds),
    lastWaitsForMemory: share(last.waitingForMemorySeconds),
  }
  const busiest = stages.reduce((most, stage) => (stage.workingSeconds > most.workingSeconds ? stage : most))
  const waited = found.lastWaitsForInput + found.lastWaitsForMemory
  if (waited > littleWaiting && memoryWaitedSeconds > 0 && memoryWaitedSeconds >= busiest.workingSeconds) {
    const busy = share(memoryWaitedSeconds)
    const text = `bottleneck: memory, waited for ${percent(busy)} of the time; ${last.kind} ${waits(found)}; raise "memory"`
    return { ...found, kind: 'memory', busy, text }
  }
  const slowest = waited <= littleWaiting ? last : busiest
  const busy = share(slowest.workingSeconds)
  const cure = slowest === last ? '' : cureFor(stages.indexOf(slowest), stages, traits)
  const who = slowest === last ? '' : `${last.kind} `
  const text = `bottleneck: ${slowest.kind} ${percent(busy)} busy; ${who}${waits(found)}${cure}`
  return { ...found, kind: slowest.kind, busy, text }
}

/** The end of the flow that ran longest: nobody after it takes what it gives. */
function lastOf(stages: readonly StageFigures[], traits: readonly StageTraits[]): StageFigures | undefined {
  const ends = stages.filter((_, i) => !traits.some(({ takes }, j) => j > i && takes.includes(traits[i]!.gives)))
  return ends.toSorted((a, b) => b.runningSeconds - a.runningSeconds)[0]
}

function waits({
  lastWaitsForInput,
  lastWaitsForMemory,
}: Pick<Bottleneck, 'lastWaitsForInput' | 'lastWaitsForMemory'>): string {
  return `waits for input ${percent(lastWaitsForInput)}, for memory ${percent(lastWaitsForMemory)}`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** What helps where whole volumes are made too slowly. Behind them patches are cut one after the other, in order. */
function cureFor(at: number, stages: readonly StageFigures[], traits: readonly StageTraits[]): string {
  if (traits[at]?.gives !== 'volume' || stages[at]!.engineSeconds > 0) return ''
  const cache = traits.findIndex(({ wraps }) => wraps)
  const repeats = traits.some(({ gives }) => gives === 'step')
  if (at <= cache)
    return '; room for all cases in the cache ("memory"), more of them at a time ("parallel") or a faster disk help'
  return `; more cases at a time ("parallel")${repeats && cache < 0 ? ', a "cache"' : ''} or a faster disk help`
}
