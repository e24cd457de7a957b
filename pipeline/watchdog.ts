/** Says what every stage waits for when nothing moves. Changes nothing and ends nothing. */

import { formatBytes } from './bytes.ts'
import { every as realTime, type Every } from './every.ts'
import type { RunLedger } from './ledger.ts'
import type { Meter } from './meter.ts'
import { nameOf, working, type Frame, type StageMeter, type Subject } from './stage-meter.ts'

export interface Watchdog {
  close(): void
}

/** After so long without a movement, s, it speaks; then after twice, four times, eight times as long. */
const patience = 60

/**
 * Watches the meter's movements: an item that enters or leaves a stage, a slab pulled, a step of the engine, a claim of
 * memory. It runs on the main thread: where that itself is stuck in a computation, nothing is said until it is free.
 */
export function openWatchdog(
  meter: Meter,
  ledger: Pick<RunLedger, 'report' | 'waiting'>,
  note: (text: string) => void,
  every: Every = realTime,
): Watchdog {
  let quietSince = meter.movedAt
  let speakAfter = patience
  const tick = (): void => {
    if (meter.movedAt !== quietSince) {
      if (speakAfter > patience) note(`moving again, after ${seconds(meter.movedAt - quietSince)} without a movement`)
      quietSince = meter.movedAt
      speakAfter = patience
    }
    const quiet = meter.now() - quietSince
    if (quiet < speakAfter || isUsual(meter)) return
    while (speakAfter <= quiet) speakAfter *= 2
    note(report(meter, ledger, quiet))
  }
  return { close: every(patience / 10, tick) }
}

/** Whether the engine computes, and not much longer than it did before: then there is nothing to say. */
function isUsual({ engineCalls: [engine], longestEngineSeconds, now }: Meter): boolean {
  return engine !== undefined && now() - engine.since < 2 * longestEngineSeconds
}

function report(meter: Meter, ledger: Pick<RunLedger, 'report' | 'waiting'>, quiet: number): string {
  const now = meter.now()
  const stages = meter.stages.filter(({ running, frames }) => running > 0 || frames.size > 0)
  if (stages.length === 0)
    return `nothing has moved for ${seconds(quiet)}: no stage runs; the run is between two passes, or writes its results`
  const engine = meter.engineCalls[0]
  const begin = engine
    ? `nothing else has moved for ${seconds(quiet)}: the engine still computes what "${engine.stage.kind}" gave it ${seconds(now - engine.since)} ago, which large patches or a slow machine may explain`
    : `nothing has moved for ${seconds(quiet)}`
  const lines = stages.flatMap(stage => waitsOf(stage, meter, now).map(wait => `  ${stage.kind}: ${wait}`))
  return [begin, ...lines, ...memoryLines(meter, ledger)].join('\n')
}

/** A line for each thing that the stage does or waits for. */
function waitsOf(stage: StageMeter, meter: Meter, now: number): string[] {
  const mine = meter.engineCalls.filter(call => call.stage === stage)
  const computing = mine.filter(call => call === meter.engineCalls[0])
  const lines = [
    ...[...stage.claims].map(
      ({ what, bytes, since }) => `waits for memory: ${formatBytes(bytes)} for ${what} (${seconds(now - since)})`,
    ),
    ...computing.map(({ since }) => `the engine computes (${seconds(now - since)})`),
    ...(mine.length > computing.length
      ? [`waits for the engine, which is at work on another (${mine.length - computing.length} in line)`]
      : []),
  ]
  const frames = [...stage.frames.values()]
  // A call that waits for its claim or for the engine is not at work. Claims are granted in order: those of the last cases wait.
  const explained = stage.claims.size + mine.length
  const open = frames.filter(frame => working(frame) > 0)
  const busy = open.slice(0, Math.max(0, open.length - explained))
  const waiting = frames.filter(frame => frame.below > 0)
  lines.push(
    ...firstOf(busy.map(frame => `at work on ${describe(frame)} (${seconds(now - frame.since)})`)),
    ...firstOf(waiting.map(frame => `waits for input: ${describe(frame)} (${seconds(now - frame.since)})`)),
  )
  if (lines.length > 0) return lines
  return [stage.asked > 0 ? 'waits for input: its next item' : 'waits until somebody takes what it has made']
}

function firstOf(lines: readonly string[]): string[] {
  const most = 3
  return lines.length > most ? [...lines.slice(0, most), `and ${lines.length - most} more like it`] : [...lines]
}

function describe({ of, keys }: Frame): string {
  const files = [...new Set(keys)].flatMap(key => fileOf(of, key))
  return files.length > 0 ? `${nameOf(of)}, voxels of ${files.join(' and ')}` : nameOf(of)
}

function fileOf(of: Subject, key: Frame['keys'][number]): string[] {
  const path = 'id' in of ? of[key] : undefined
  return path === undefined ? [] : [path]
}

function memoryLines(meter: Meter, ledger: Pick<RunLedger, 'report' | 'waiting'>): string[] {
  const waiting = ledger.waiting()
  if (!waiting) return []
  const { limitBytes, liveBytes, reserves } = ledger.report()
  const held = [
    ...Object.entries(reserves),
    ...[...meter.holders].map(({ what, claim }) => [what, claim.bytes] as const),
  ].map(([what, bytes]) => `${formatBytes(bytes)} by ${what}`)
  const first =
    waiting.bytes === undefined
      ? `${waiting.first}, which is still finding out how much it needs`
      : `${waiting.first} for ${formatBytes(waiting.bytes)}`
  return [
    `  memory: ${formatBytes(liveBytes)} of ${formatBytes(limitBytes)} taken${held.length > 0 ? ` (${held.join(', ')})` : ''}; in line: ${waiting.claims}, first ${first}`,
  ]
}

function seconds(count: number): string {
  return count < 600 ? `${Math.round(count)} s` : `${Math.round(count / 60)} min`
}
