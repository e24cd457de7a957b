/** A report from its file. */

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { reportFormat, reportSchema, type Report } from '../schemas/report.ts'

let compiled: ValidateFunction<Report> | undefined

/** Of a report.json, or of the folder that holds one. Throws ERR_FILE where it cannot be read or is no report. */
export function readReport(path: string): Report {
  let value: unknown
  let file = path
  try {
    if (statSync(path).isDirectory()) file = join(path, 'report.json')
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw noReport(file, isMissing ? 'there is no such file' : messageOf(error), error)
  }
  const { format } = (value ?? {}) as { format?: unknown }
  if (format !== reportFormat) throw noReport(file, `found ${format === undefined ? 'other JSON' : String(format)}`)
  compiled ??= new Ajv({ allowUnionTypes: true }).compile<Report>(reportSchema)
  if (compiled(value)) return value
  const { instancePath = '', message = '' } = compiled.errors?.[0] ?? {}
  throw noReport(file, `${instancePath || '/'} ${message}`)
}

function noReport(path: string, found: string, cause?: unknown): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: expected the report.json of an evaluation (${reportFormat}): ${found}`,
    { path },
    { cause },
  )
}
