#!/usr/bin/env node
/** The command line: parse arguments, call one function, print, set the exit code. */

import { Command, CommanderError, Option } from 'commander'
import { createProgress, defaultMode, type ProgressMode } from '../pipeline/progress.ts'
import { loadDefinition } from '../pipeline/definition.ts'
import { codeOf, messageOf } from '../pipeline/errors.ts'
import { run } from '../pipeline/run.ts'
import { peakRss, type RunResult } from '../pipeline/summary.ts'

interface Flags {
  readonly set: string[]
  readonly json?: boolean
  readonly progress?: ProgressMode
}

const program = new Command('run-pipeline')
  .description('Runs a pipeline definition: trains, infers or evaluates, as its "task" says.')
  .argument('<definition.json>', 'the definition')
  .option(
    '--set <path=value>',
    'override a field, such as stages.crop.size=[96,96,16]; may be repeated',
    (value, all: string[]) => [...all, value],
    [],
  )
  .option('--json', 'print one JSON object on standard output at the end, and nothing else there')
  .addOption(
    new Option('--progress <mode>', 'how progress is shown on standard error').choices([
      'tty',
      'plain',
      'json',
      'none',
    ]),
  )
  .addHelpText(
    'after',
    '\nExit codes: 0 ok, 1 failed, 2 definition refused, 3 some cases failed, 4 a gate was missed, 75 locked, 130/143 ended by a signal.',
  )
  .exitOverride()

// Whoever reads our output may leave (`| head`, a closed connection): the run goes on, and its results are in its folder.
for (const out of [process.stdout, process.stderr]) out.on('error', () => {})

try {
  program.parse()
  process.exitCode = await main(program.args[0]!, program.opts<Flags>())
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? 0 : 2
  if (process.exitCode === 2 && process.argv.includes('--json'))
    console.log(JSON.stringify(ended('refused', 2, error.message)))
}

async function main(file: string, flags: Flags): Promise<number> {
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
function ended(status: 'refused' | 'failed', exitCode: number, error: string): RunResult {
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
