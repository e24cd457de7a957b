/** `run-pipeline definition.json`: trains, infers or evaluates. */

import { loadDefinition, type Task } from '../pipeline/definition.ts'
import { codeOf, messageOf, PipelineError } from '../pipeline/errors.ts'
import { createProgress, defaultMode, type ProgressMode } from '../pipeline/progress.ts'
import { run } from '../pipeline/run.ts'
import { parseShard, shardFromEnvironment, shardText, type FoundShard } from '../pipeline/shard.ts'
import { peakRss, type RunResult } from '../pipeline/summary.ts'

export interface RunFlags {
  readonly set: readonly string[]
  readonly json?: boolean
  readonly progress?: ProgressMode
  /** Nothing is printed of a run that ends with 0. */
  readonly quiet?: boolean
  readonly shard?: string
  readonly resume?: boolean
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
    const part = partOf(definition.task, flags)
    const progress = createProgress(flags.progress ?? (flags.json || flags.quiet ? 'none' : defaultMode()))
    if (part) progress.note(`shard ${shardText(part.shard)}${part.from === undefined ? '' : `, by ${part.from}`}`)
    const resume = flags.resume ?? false
    const shard = part && part.shard.count > 1 ? part.shard : undefined
    ;({ lines, ...result } = await run(definition, {
      progress,
      signal: controller.signal,
      resume,
      ...(shard && { shard }),
    }))
  } catch (error) {
    if (codeOf(error) === undefined) {
      // A bug: whoever reports it needs to know where.
      console.error(error)
      result = ended('failed', 1, `internal error: ${messageOf(error)}`)
    } else result = ended('refused', 2, messageOf(error))
  }
  if (flags.quiet && result.exitCode === 0) return 0
  if (flags.json) console.log(JSON.stringify(result))
  else for (const line of lines) console.log(line)
  if (result.error !== undefined) console.error(result.error)
  return result.exitCode
}

/** The part of a batch that is meant; only inference has parts, and only there the environment is asked. */
function partOf(task: Task, { shard, resume }: RunFlags): FoundShard | undefined {
  if (task === 'infer') return shard === undefined ? shardFromEnvironment(process.env) : { shard: parseShard(shard) }
  for (const [flag, given] of [
    ['--shard', shard !== undefined],
    ['--resume', resume],
  ] as const)
    if (given)
      throw new PipelineError('ERR_DEFINITION', `${flag} is for "task": "infer", found "${task}"; leave it out`)
  return undefined
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
