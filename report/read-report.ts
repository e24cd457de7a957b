/** A report from its file. */

import { readFileSync } from 'node:fs'
import { Ajv, type ValidateFunction } from 'ajv'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { reportFormat, reportSchema, type Report } from '../schemas/report.ts'

let compiled: ValidateFunction<Report> | undefined

/** Throws ERR_FILE where it cannot be read or is no report. */
export function readReport(path: string): Report {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw noReport(path, isMissing ? 'there is no such file' : messageOf(error), error)
  }
  const { format } = (value ?? {}) as { format?: unknown }
  if (format !== reportFormat) throw noReport(path, `found ${format === undefined ? 'other JSON' : String(format)}`)
  compiled ??= new Ajv({ allowUnionTypes: true }).compile<Report>(reportSchema)
  if (compiled(value)) return value
  const { instancePath = '', message = '' } = compiled.errors?.[0] ?? {}
  throw noReport(path, `${instancePath || '/'} ${message}`)
}

function noReport(path: string, found: string, cause?: unknown): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: expected the report.json of an evaluation (${reportFormat}): ${found}`,
    { path },
    { cause },
  )
}
