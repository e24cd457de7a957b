/**
 * The ledger of a batch on disk, `manifest.jsonl`: a head for every run, then a line for each of its cases as it ends. Lines
 * are only ever appended, so a run that is killed leaves a ledger that tells all it did.
 */

import { linkSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, PipelineError } from './errors.ts'
import { toJson } from './json.ts'
import { notWritable } from './not-writable.ts'

export const manifestFormat = 'ctflow-manifest-1'

/** What the lines below it have in common. */
export interface ManifestHead {
  readonly format: typeof manifestFormat
  readonly ctflow: string
  /** `definitionHash`. */
  readonly definition: string
  /** SHA-256 of the file of weights; null without one. */
  readonly model: string | null
  /** How many cases the whole batch has, whatever the shard. */
  readonly cases: number
  /** `listDigest` of the whole batch. */
  readonly list: string
  /** "1/4", or null for a whole run. */
  readonly shard: string | null
  /** How many shards' manifests were joined into this one. */
  readonly merged?: number
  readonly started: string
}

/** A file that was written for a case; `path` is relative to the output folder. */
export interface OutputFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/**
 * How a case ended. A skipped one was done before: its line repeats the content and the outputs, so that the last line of a
 * case always says all there is to know of it.
 */
export interface CaseLine {
  readonly case: string
  readonly status: 'ok' | 'failed' | 'skipped'
  readonly reason?: string
  /** Of a failed case: in which stage, and the error's code. */
  readonly stage?: string
  readonly code?: string
  readonly windows?: number
  readonly seconds: number
  /** `inputHash`; null where it cannot be had, or the files have changed while they were read. */
  readonly content: string | null
  readonly outputs: readonly OutputFile[]
}

/** A head and the lines below it. */
export interface ManifestRun {
  readonly head: ManifestHead
  readonly lines: readonly CaseLine[]
}

export interface Manifest {
  readonly runs: readonly ManifestRun[]
  /** Lines that are no JSON, such as the last one of a run that was killed. */
  readonly unreadable: number
}

/** Undefined where there is no such file. Throws ERR_OUTPUT where it cannot be read or is no manifest. */
export function readManifest(path: string): Manifest | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new PipelineError(
      'ERR_OUTPUT',
      `${path}: expected a manifest: ${messageOf(error)}`,
      { path },
      { cause: error },
    )
  }
  const runs: { head: ManifestHead; lines: CaseLine[] }[] = []
  let unreadable = 0
  for (const line of text.split('\n')) {
    if (line === '') continue
    const value = parse(line)
    if (isHead(value)) runs.push({ head: value, lines: [] })
    else if (isCaseLine(value) && runs.length > 0) runs.at(-1)!.lines.push(value)
    else unreadable += 1
  }
  if (runs.length === 0 && unreadable > 1)
    throw new PipelineError(
      'ERR_OUTPUT',
      `${path}: expected a manifest of ${manifestFormat}, found something else; move it, or choose another "output"`,
      { path },
    )
  return { runs, unreadable }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function isHead(value: unknown): value is ManifestHead {
  return (value as Partial<ManifestHead> | null | undefined)?.format === manifestFormat
}

function isCaseLine(value: unknown): value is CaseLine {
  const line = value as Partial<CaseLine> | null | undefined
  return (
    typeof line?.case === 'string' &&
    ['ok', 'failed', 'skipped'].includes(line.status ?? '') &&
    Array.isArray(line.outputs)
  )
}

/** The last line of every case with the head above it. */
export function lastLines({ runs }: Manifest): Map<string, { head: ManifestHead; line: CaseLine }> {
  return new Map(runs.flatMap(({ head, lines }) => lines.map(line => [line.case, { head, line }] as const)))
}

/** All manifests in an output folder: of whole runs and of shards, however many, and the previous ones of both. ERR_OUTPUT. */
export function manifestsIn(output: string): Manifest[] {
  const names = readdirSync(output).filter(name => /^manifest(-\d+-of-\d+)?(\.previous(-\d+)?)?\.jsonl$/.test(name))
  return names.flatMap(name => readManifest(join(output, name)) ?? [])
}

/** Gives a manifest a second name, the next free one of `.previous.jsonl`, `.previous-2.jsonl`, ... Nothing where it is not there. */
export function keepManifest(path: string): void {
  for (let i = 1; ; i++) {
    try {
      return linkSync(path, path.replace(/\.jsonl$/, `.previous${i > 1 ? `-${i}` : ''}.jsonl`))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return
      if (code !== 'EEXIST') throw notWritable(path, error)
    }
  }
}

/** Puts a manifest aside as the previous one, beside those before it. */
export function setManifestAside(path: string): void {
  keepManifest(path)
  try {
    rmSync(path, { force: true })
  } catch (error) {
    throw notWritable(path, error)
  }
}

/** Appends lines, each with one write, in the order of the calls. */
export class ManifestWriter {
  readonly #path: string
  readonly #file: FileHandle
  #bytes: number
  #last: Promise<unknown> = Promise.resolve()

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.#path = path
    this.#file = file
    this.#bytes = bytes
  }

  /** Opens the file, makes it where it is not there, cuts off what is no whole line, and writes the head. ERR_OUTPUT. */
  static async open(path: string, head: ManifestHead): Promise<ManifestWriter> {
    try {
      const file = await open(path, 'a+')
      try {
        const text = await file.readFile()
        const bytes = text.lastIndexOf(10) + 1
        if (bytes < text.length) await file.truncate(bytes)
        const writer = new ManifestWriter(path, file, bytes)
        await writer.append(head, true)
        return writer
      } catch (error) {
        await file.close()
        throw error
      }
    } catch (error) {
      throw error instanceof PipelineError ? error : notWritable(path, error)
    }
  }

  /** With `flush`, the line is on the disk when the promise is fulfilled. ERR_OUTPUT; the line is then not there in part. */
  append(line: CaseLine | ManifestHead, flush: boolean): Promise<void> {
    const done = this.#last.then(() => this.#write(`${toJson(line)}\n`, flush))
    this.#last = done.catch(() => {})
    return done
  }

  async #write(line: string, flush: boolean): Promise<void> {
    const bytes = Buffer.from(line)
    try {
      const { bytesWritten } = await this.#file.write(bytes)
      if (bytesWritten < bytes.length) throw Object.assign(new Error('cut short'), { code: 'ENOSPC' })
      if (flush) await this.#file.sync()
      this.#bytes += bytes.length
    } catch (error) {
      await this.#file.truncate(this.#bytes).catch(() => {})
      throw notWritable(this.#path, error)
    }
  }

  async close(): Promise<void> {
    await this.#last
    await this.#file.close()
  }
}
