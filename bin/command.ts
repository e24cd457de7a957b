/** What the subcommands share: what came of them, for people and for machines, and the exit code. */

import { codeOf, messageOf, type ErrorCode } from '../pipeline/errors.ts'

/** Exit code of a subcommand that is no run: 2 where what was asked for is refused, 75 where a run is in the way, 1 where it failed. */
export function exitCodeOf(code: ErrorCode | undefined): number {
  if (code === 'ERR_LOCKED') return 75
  return code === undefined || code === 'ERR_OUTPUT' ? 1 : 2
}

export interface Outcome {
  readonly exitCode: number
  /** For people, on standard output. */
  readonly lines: readonly string[]
  /** For machines, with --json, beside `status` and `exitCode`. */
  readonly facts: Readonly<Record<string, unknown>>
}

/** Runs a subcommand: prints lines or one JSON object, errors on standard error; gives the exit code. */
export async function perform(json: boolean, work: () => Promise<Outcome>): Promise<number> {
  try {
    const { exitCode, lines, facts } = await work()
    if (json) console.log(JSON.stringify({ status: exitCode === 0 ? 'ok' : 'partial', exitCode, ...facts }))
    else for (const line of lines) console.log(line)
    return exitCode
  } catch (error) {
    const code = codeOf(error)
    const exitCode = exitCodeOf(code)
    // A bug: whoever reports it needs to know where.
    const message = code === undefined ? `internal error: ${messageOf(error)}` : messageOf(error)
    if (code === undefined) console.error(error)
    else console.error(message)
    const status = exitCode === 2 ? 'refused' : exitCode === 75 ? 'locked' : 'failed'
    if (json) console.log(JSON.stringify({ status, exitCode, error: message, code }))
    return exitCode
  }
}
