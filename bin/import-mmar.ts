/** `run-pipeline import-mmar DIR`: imports an MMAR, prints the report, gives the exit code. */

import { importMmar, reportLines, type ImportedCheckpoint } from '../interop/mmar/import.ts'
import { showLine, type ReportLine } from '../interop/mmar/report.ts'
import { codeOf, messageOf, PipelineError } from '../pipeline/errors.ts'
import { exitCodeOf } from './command.ts'

export interface ImportMmarFlags {
  readonly out?: string
  readonly set?: readonly string[]
  readonly script?: string
  readonly config?: string
  readonly force?: boolean
  /** One JSON object on standard output, and nothing else there. */
  readonly json?: boolean
}

/** Where the command writes; the console, or a test. */
export interface Printer {
  log(line: string): void
  error(line: string): void
}

/** Exit codes: 0 all taken, 3 written but incomplete; nothing written: 2 refused, 1 the folder cannot be written, or a bug. */
export async function importMmarCommand(
  dir: string,
  flags: ImportMmarFlags,
  readCheckpoint: (path: string) => Promise<ImportedCheckpoint>,
  print: Printer = console,
): Promise<number> {
  const { json, ...options } = flags
  try {
    const report = await importMmar(dir, { ...options, readCheckpoint })
    const exitCode = report.complete ? 0 : 3
    if (json) print.log(JSON.stringify({ status: report.complete ? 'ok' : 'incomplete', exitCode, ...report }))
    else for (const line of reportLines(report)) print.log(line)
    return exitCode
  } catch (error) {
    const code = codeOf(error)
    const exitCode = exitCodeOf(code)
    const lines = error instanceof PipelineError ? ((error.facts['lines'] ?? []) as readonly ReportLine[]) : []
    const message = code === undefined ? `internal error: ${messageOf(error)}` : messageOf(error)
    const status = exitCode === 2 ? 'refused' : 'failed'
    if (json) print.log(JSON.stringify({ status, exitCode, error: message, code, files: [], lines }))
    else for (const line of lines) print.log(showLine(line))
    // Of a bug, whoever reports it needs to know where.
    print.error(code !== undefined || !(error instanceof Error) ? message : (error.stack ?? message))
    return exitCode
  }
}
