/** How a run ends: status, exit code, the object that `--json` prints. */

import { readFileSync } from 'node:fs'
import type { Report } from '../schemas/report.ts'
import type { EngineInfo } from './engine.ts'

export type Status = 'ok' | 'failed' | 'refused' | 'partial' | 'gate' | 'locked' | 'interrupted'

export interface CaseCounts {
  readonly ok: number
  readonly failed: number
  readonly skipped: number
}

/** A case that could not be used, and why. */
export interface Failure {
  readonly case: string
  readonly stage: string
  readonly code: string
  readonly reason: string
}

/** What `--json` prints, and what `summary.json` in the run's folder holds. */
export interface RunResult {
  readonly status: Status
  readonly exitCode: number
  readonly task: string | null
  readonly output: string | null
  readonly seconds: number
  readonly peakRssBytes: number
  readonly cases: CaseCounts
  /** As JSON: an infinite figure is the text "inf". */
  readonly metrics: Readonly<Record<string, unknown>>
  readonly engine: Pick<EngineInfo, 'backend' | 'precision' | 'threads'> | null
  readonly failures: readonly Failure[]
  /** Rules that figures must hold, judged; of an evaluation that has some. */
  readonly gates?: Report['gates']
  /** The folder of an evaluation's report, relative to `output`. */
  readonly report?: string
  /** Where checkpoints and masks of a run that did not end well were kept. */
  readonly kept?: string
  /** Why the run did not end well, for people. */
  readonly error?: string
}

/** Exit codes: 0 ok, 1 failed, 2 definition refused, 3 some cases failed, 4 a gate was missed, 75 locked. Signals: 128 + number. */
export const exitCodes: Readonly<Record<Exclude<Status, 'interrupted'>, number>> = {
  ok: 0,
  failed: 1,
  refused: 2,
  partial: 3,
  gate: 4,
  locked: 75,
}

/** Highest resident set size of this process so far, bytes. */
export function peakRss(): number {
  try {
    // Linux hands down maxRSS: a process starts with the peak of the one that started it.
    const peak = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))
    if (peak) return Number(peak[1]) * 1024
  } catch {
    // not Linux
  }
  return process.resourceUsage().maxRSS * 1024
}
