/**
 * What evaluations have found over time: a file of JSON lines to which each appends one. Several runs may share it. Lines are
 * appended whole, under a short lock; what is damaged is set aside, and the file replaced as a whole.
 */

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Ajv, type ValidateFunction } from 'ajv'
import { historyRecord, type HistoryRecord } from '../schemas/report.ts'
import { readReport, recordOf } from '../stages/index.ts'
import { codeOf, messageOf, PipelineError } from './errors.ts'
import { toJson } from './json.ts'
import { takeLock } from './lock.ts'
import { makeFolder } from './make-folder.ts'
import { notWritable } from './not-writable.ts'
import { reportFile, reportFolder, reportIds } from './reports.ts'

export const historyName = 'history.jsonl'

const newline = 10

export interface History {
  /** Oldest first. */
  readonly records: readonly HistoryRecord[]
  /** Lines that are no record, byte for byte. */
  readonly damaged: readonly Buffer[]
}

/** An empty one where there is no such file. Throws ERR_FILE where it cannot be read. */
export function readHistory(path: string): History {
  const { records, damaged } = sorted(path)
  return { records: records.toSorted((a, b) => a.created.localeCompare(b.created)), damaged }
}

/** The lines as bytes: what is damaged need not be text. */
function sorted(path: string): { records: HistoryRecord[]; good: Buffer[]; damaged: Buffer[] } {
  const found = { records: [] as HistoryRecord[], good: [] as Buffer[], damaged: [] as Buffer[] }
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return found
    throw new PipelineError('ERR_FILE', `${path}: expected a history: ${messageOf(error)}`, { path }, { cause: error })
  }
  for (const line of linesOf(bytes)) {
    const value = parse(line.toString())
    const isWhole = isRecord(value)
    if (isWhole) found.records.push(value)
    found[isWhole || isForeign(value) ? 'good' : 'damaged'].push(line)
  }
  return found
}

/** Without their ends; empty ones are left out. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0, end; start < bytes.length; start = end + 1) {
    const found = bytes.indexOf(newline, start)
    end = found < 0 ? bytes.length : found
    const line = bytes.subarray(start, end)
    if (line.toString().trim() !== '') lines.push(line)
  }
  return lines
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

let compiled: ValidateFunction<HistoryRecord> | undefined

function isRecord(value: unknown): value is HistoryRecord {
  compiled ??= new Ajv({ allowUnionTypes: true }).compile<HistoryRecord>(historyRecord)
  return compiled(value)
}

/** Of another version of this program: not shown, and left where it is. */
function isForeign(value: unknown): boolean {
  const { format } = (value ?? {}) as { format?: unknown }
  return typeof format === 'string' && format.startsWith('ctflow-history-') && format !== 'ctflow-history-1'
}

/** Records of the output's reports that the history lacks: of runs that were killed before they could append. Oldest first. */
export function lostRecords(output: string, { records }: History): HistoryRecord[] {
  const known = new Set(records.map(keyOf))
  return reportIds(output)
    .flatMap(id => {
      try {
        return [recordOf(readReport(reportFile(reportFolder(output, id))))]
      } catch (error) {
        if (codeOf(error) === undefined) throw error
        // A damaged report has nothing to tell.
        return []
      }
    })
    .filter(record => !known.has(keyOf(record)))
}

/** ERR_OUTPUT where nothing could be appended: asked before hours of work, and nothing is changed by it. */
export function checkHistory(path: string): void {
  try {
    makeFolder(dirname(path))
    const file = existsSync(path) ? realpathSync(path) : path
    try {
      takeLock(`${file}.lock`)()
    } catch (error) {
      // Somebody appends just now, so it can be done.
      if (codeOf(error) !== 'ERR_LOCKED') throw error
    }
    if (existsSync(file)) closeSync(openSync(file, 'a'))
  } catch (error) {
    throw notWritable(path, error)
  }
}

/**
 * Appends those of the records that are not there yet, on the disk when it returns. Damaged lines go to `<path>.damaged`
 * before; returns how many. Throws ERR_OUTPUT, and what was there is then still there.
 */
export async function appendToHistory(
  path: string,
  records: readonly HistoryRecord[],
  { waitMs = 10_000 }: { readonly waitMs?: number } = {},
): Promise<number> {
  try {
    makeFolder(dirname(path))
    // A file that replaces another would replace a link to it too.
    const file = existsSync(path) ? realpathSync(path) : path
    const unlock = await lockWithin(`${file}.lock`, waitMs)
    try {
      const damaged = unlock ? setDamagedAside(file) : 0
      const known = new Set(readHistory(file).records.map(keyOf))
      const lines = records.filter(record => !known.has(keyOf(record))).map(record => `${toJson(record)}\n`)
      if (lines.length > 0) append(file, Buffer.from(lines.join('')), unlock !== undefined)
      return damaged
    } finally {
      unlock?.()
    }
  } catch (error) {
    throw codeOf(error) === undefined ? notWritable(path, error) : error
  }
}

/** Which evaluation it is: several outputs may have reports of one id. */
function keyOf({ id, created, title }: HistoryRecord): string {
  return JSON.stringify([id, created, title])
}

/** Waits for a turn; undefined where whoever holds the lock does not come back, such as a machine that is gone. */
async function lockWithin(path: string, waitMs: number): Promise<(() => void) | undefined> {
  const until = Date.now() + waitMs
  for (;;) {
    try {
      return takeLock(path)
    } catch (error) {
      if (codeOf(error) !== 'ERR_LOCKED') throw error
      if (Date.now() >= until) return undefined
      await setTimeout(10 + 30 * Math.random())
    }
  }
}

/**
 * One write at the end of the file, whoever else appends. Without the lock nobody knows how the file ends by then, so the
 * lines begin anew in any case; an empty line is none.
 */
function append(path: string, lines: Buffer, isLocked: boolean): void {
  const file = openSync(path, 'a+')
  try {
    const { size } = fstatSync(file)
    const bytes = isLocked && endsWhole(file, size) ? lines : Buffer.concat([Buffer.of(newline), lines])
    const written = writeSync(file, bytes)
    if (written < bytes.length) {
      if (isLocked) ftruncateSync(file, size)
      throw Object.assign(new Error('cut short'), { code: 'ENOSPC' })
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function endsWhole(file: number, size: number): boolean {
  const last = Buffer.alloc(1)
  return size === 0 || (readSync(file, last, 0, 1, size - 1) === 1 && last[0] === newline)
}

/** Copies damaged lines to `<path>.damaged`, then replaces the file by one without them; the others stay as they are. */
function setDamagedAside(path: string): number {
  const replacement = `${path}.new`
  rmSync(replacement, { force: true })
  const { good, damaged } = sorted(path)
  if (damaged.length === 0) return 0
  append(`${path}.damaged`, joined(damaged), true)
  const file = openSync(replacement, 'w', statSync(path).mode)
  try {
    const bytes = joined(good)
    if (writeSync(file, bytes) < bytes.length) throw Object.assign(new Error('cut short'), { code: 'ENOSPC' })
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(replacement, path)
  return damaged.length
}

function joined(lines: readonly Buffer[]): Buffer {
  return Buffer.concat(lines.flatMap(line => [line, Buffer.of(newline)]))
}
