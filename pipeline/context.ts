/** What a run lends to its stages. */

import type { Definition } from './definition.ts'
import type { Progress } from './progress.ts'
import { randomOf } from './random-mode.ts'
import type { RunFolder } from './run-folder.ts'
import type { Schedule } from './schedule.ts'
import type { Ledger } from './claims.ts'
import type { Engine } from './engine.ts'
import type { Context } from './stage.ts'

export interface Lent {
  readonly ledger: Ledger
  readonly schedule: Schedule
  readonly folder: RunFolder
  /** None where masks are compared. */
  readonly engine: Engine | undefined
  /** Hash of the weights. */
  readonly model: string | null
  readonly signal: AbortSignal
  /** Where stages count what they do, by name. */
  readonly counts: Map<string, number>
  readonly progress: Progress
  readonly atEnd: (close: () => void) => void
}

export function contextOf(
  definition: Definition,
  { ledger, schedule, folder, engine, model, signal, counts, progress, atEnd }: Lent,
): Context {
  return {
    seed: definition.seed,
    random: randomOf(definition.random, definition.seed),
    ledger,
    upcoming: schedule,
    folder: folder.results,
    scratch: folder.scratch,
    ...(model !== null && { model }),
    signal,
    engine() {
      if (!engine) throw new Error('this task has no network')
      return engine
    },
    note: text => progress.note(text),
    atEnd,
    count: (name, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by),
  }
}
