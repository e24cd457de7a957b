/** `run-pipeline definition.json`: trains, infers or evaluates. */

import { loadDefinition } from '../pipeline/definition.ts'
import { codeOf, messageOf } from '../pipeline/errors.ts'
import { createProgress, defaultMode, type ProgressMode } from '../pipeline/progress.ts'
import { run } from '../pipeline/run.ts'
import { peakRss, type RunResult } from '../pipeline/summary.ts'

export interface RunFlags {
  readonly set: readonly string[]
  readonly json?: boolean
  readonly progress?: ProgressMode
}

/** Runs the definition until it ends or a signal ends it; gives the exit code. */
export async function runCommand(file: string, flags: RunFlags): Promise<number> {
  const controller = new AbortController()
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 143],
  ] as const) {
    process.on(signal, () => {
      // The first one ends the run in order; whoever insists is obeyed.
      if (controller.signal.aborted) process.exit(code)
      controller.abort(signal)
    })
  }
  let result: RunResult
  let lines: readonly string[] = []
  try {
    const definition = loadDefinition(file, flags.set)
    const progress = createProgress(flags.progress ?? (flags.json ? 'none' : defaultMode()))
    ;({ lines, ...result } = await run(definition, { progress, signal: controller.signal }))
  } catch (error) {
    if (codeOf(error) === undefined) {
      // A bug: whoever reports it needs to know where.
      console.error(error)
      result = ended('failed', 1, `internal error: ${messageOf(error)}`)
    } else result = ended('refused', 2, messageOf(error))
  }
  if (flags.json) console.log(JSON.stringify(result))
  else for (const line of lines) console.log(line)
  if (result.error !== undefined) console.error(result.error)
  return result.exitCode
}

/** The result of a run that has not begun, or that broke. */
export function ended(status: 'refused' | 'failed', exitCode: number, error: string): RunResult {
  return {
    status,
    exitCode,
    task: null,
    output: null,
    seconds: 0,
    peakRssBytes: peakRss(),
    cases: { ok: 0, failed: 0, skipped: 0 },
    metrics: {},
    engine: null,
    failures: [],
    error,
  }
}
