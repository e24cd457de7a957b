/** What every task is given and gives back. */

import type { Report } from '../../schemas/report.ts'
import type { DataSet } from '../data-set.ts'
import type { Definition } from '../definition.ts'
import type { PipelineError } from '../errors.ts'
import type { Meter } from '../meter.ts'
import type { Progress } from '../progress.ts'
import type { RunFolder } from '../run-folder.ts'
import type { Making } from '../resume.ts'
import type { Schedule } from '../schedule.ts'
import type { Shard } from '../shard.ts'
import type { Need } from '../claims.ts'
import type { Case, Sample } from '../flow.ts'
import type { Context, Transform } from '../stage.ts'
import type { CaseCounts, Failure } from '../summary.ts'

export interface Job {
  readonly definition: Definition
  readonly dataSet: DataSet
  readonly context: Context
  /** To be told what comes when. */
  readonly schedule: Schedule
  readonly meter: Meter
  readonly folder: RunFolder
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly cases: CaseBook
  readonly making: Making
  /** Seconds since the run began. */
  readonly seconds: () => number
  /** Of `infer`. */
  readonly batch?: BatchOptions
}

/** Which part of a batch is meant, and what may be left out of it. */
export interface BatchOptions {
  /** All cases without it. */
  readonly shard?: Shard
  /** Whether what an earlier run has done stays done. */
  readonly resume: boolean
}

export interface TaskResult {
  readonly metrics: Readonly<Record<string, unknown>>
  /** Lines for people: the outcome. */
  readonly lines: readonly string[]
  /** Rules that figures must hold, judged. */
  readonly gates?: Report['gates']
  /** The folder of the report, once it is published; relative to the output. */
  readonly report?: string
  /**
   * Puts in place what must appear as a whole, before the run's other files and while it holds the output. Says what went
   * wrong after that, which leaves the run's files good and makes it a failed one.
   */
  readonly publish?: () => Promise<string | undefined>
}

/** Which cases went well and which did not, over the whole run. */
export class CaseBook {
  readonly #failures = new Map<string, Failure>()
  readonly #ok = new Set<string>()
  #skipped = 0
  readonly #report: (failure: Failure) => void
  readonly #stopOnError: boolean

  constructor(stopOnError: boolean, report: (failure: Failure) => void) {
    this.#stopOnError = stopOnError
    this.#report = report
  }

  /** A case's first failure is reported; with `onError: stop` it is thrown. */
  fail = (error: PipelineError): void => {
    const id = String(error.facts['case'] ?? 'unknown')
    const failure = { case: id, stage: String(error.facts['stage'] ?? ''), code: error.code, reason: error.message }
    this.#ok.delete(id)
    if (!this.#failures.has(id)) {
      this.#failures.set(id, failure)
      this.#report(failure)
    }
    if (this.#stopOnError) throw error
  }

  succeed(id: string): void {
    if (!this.#failures.has(id)) this.#ok.add(id)
  }

  /** It was done before. */
  skip(): void {
    this.#skipped += 1
  }

  /** Cases that have not failed so far: what a later epoch takes. */
  usable(cases: readonly Case[]): readonly Case[] {
    return cases.filter(({ id }) => !this.#failures.has(id))
  }

  get failures(): readonly Failure[] {
    return [...this.#failures.values()]
  }

  get counts(): CaseCounts {
    return { ok: this.#ok.size, failed: this.#failures.size, skipped: this.#skipped }
  }
}

/** What cases pass, and what each of them takes there. */
export interface Way {
  readonly flow: Transform
  readonly need: (found: Case) => () => Promise<Need>
}

/** A case at the start of the flow. */
export function sampleOf(found: Case, epoch: number, need?: Way['need']): Sample {
  return { case: found, epoch, steps: [], patch: 0, draws: {}, ...(need && { need: need(found) }) }
}

/** A metric for people: four digits, "inf", or why there is none. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return 'undefined'
  return value === Infinity ? 'inf' : value.toFixed(4)
}
