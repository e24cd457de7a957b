/** A report.json back in memory, checked. */

import { readFileSync } from 'node:fs'
import { Ajv, type ValidateFunction } from 'ajv'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { problemsOf } from '../pipeline/problems.ts'
import { reportSchema, type Report } from '../schemas/report.ts'

let compiled: ValidateFunction<Report> | undefined

/** ERR_FILE with the path and the reason where it cannot be read, is no JSON, or is no report. */
export function readReport(path: string): Report {
  const found = parse(path)
  const { $schema: _, ...schema } = reportSchema
  compiled ??= new Ajv({ verbose: true, allowUnionTypes: true }).compile<Report>(schema)
  if (compiled(found)) return found
  const [problem] = problemsOf(compiled.errors!, found)
  throw notOne(path, `${problem!.path || '/'}: ${problem!.message}`)
}

function parse(path: string): unknown {
  let text
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : messageOf(error)
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a report.json of an evaluation; ${reason}`,
      { path },
      { cause: error },
    )
  }
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw notOne(path, `not valid JSON (${messageOf(error)})`, error)
  }
}

function notOne(path: string, reason: string, cause?: unknown): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: expected a report.json of an evaluation of this version; ${reason}; name another file, or leave the comparison out`,
    { path },
    { cause },
  )
}
