/** SHA-256 of what decides a result: files, folders of slices, the definition. All are hexadecimal digits. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Definition } from './definition.ts'
import { PipelineError } from './errors.ts'
import type { Case } from './flow.ts'

/** Of a file's bytes, streamed. Rejects with the file system's error, or with the signal's reason. */
export async function fileHash(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted()
    hash.update(chunk as Buffer)
  }
  return hash.digest('hex')
}

/**
 * Of a scan: a single file's bytes; of several files (a .hdr/.img pair, a folder of slices by their names) of the lines that
 * `sha256sum` prints of them. Rejects as `fileHash` does, and with ERR_FILE for what is neither a file nor a folder.
 */
export async function contentHash(path: string, signal?: AbortSignal): Promise<string> {
  const files = await filesOf(path)
  if (files.length === 1 && files[0] === path) return fileHash(path, signal)
  const lines = createHash('sha256')
  for (const file of files) lines.update(`${await fileHash(file, signal)}  ${basename(file)}\n`)
  return lines.digest('hex')
}

/** Of what a case's mask is made from; with a mask of the lungs, of the two hashes. */
export async function inputHash({ image, lungs }: Case, hashOf: (path: string) => Promise<string>): Promise<string> {
  const hashes: string[] = []
  for (const path of [image, lungs]) if (path !== undefined) hashes.push(await hashOf(path))
  return hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex')
}

/** Hashes a case's input while it is at work; null where it cannot be read, or was another before and after. Gives up on `signal`. */
export async function watchInput(found: Case, signal?: AbortSignal): Promise<() => Promise<string | null>> {
  try {
    const before = await inputHash(found, stampOf)
    const content = await inputHash(found, path => contentHash(path, signal))
    return () =>
      inputHash(found, stampOf).then(
        after => (after === before ? content : null),
        () => null,
      )
  } catch {
    return async () => null
  }
}

/** Size and time of change of a scan's files: equal stamps around a look at the files mean that it saw one state of them. */
export async function stampOf(path: string): Promise<string> {
  const facts: string[] = []
  for (const file of await filesOf(path)) {
    const { size, mtimeNs, ino } = await stat(file, { bigint: true })
    facts.push(`${basename(file)} ${size} ${mtimeNs} ${ino}`)
  }
  return facts.join('\n')
}

/** Absolute paths by name: the file, its pair where there is one, or a folder's own files; hidden ones are no slices. */
async function filesOf(path: string): Promise<string[]> {
  const status = await stat(path)
  if (status.isDirectory()) {
    const names = (await readdir(path)).filter(name => !name.startsWith('.')).toSorted()
    return onlyFiles(names.map(name => join(path, name)))
  }
  if (!status.isFile())
    throw new PipelineError('ERR_FILE', `${path}: expected a file or a folder, found a device`, { path })
  const [, stem] = /^(.*)\.(?:hdr|img)(?:\.gz)?$/i.exec(path) ?? []
  if (stem === undefined) return [path]
  const beside = ['.hdr', '.hdr.gz', '.img', '.img.gz'].map(ending => stem + ending)
  return [...new Set([path, ...(await onlyFiles(beside))])].toSorted()
}

async function onlyFiles(paths: readonly string[]): Promise<string[]> {
  const isFile = await Promise.all(
    paths.map(path =>
      stat(path).then(
        status => status.isFile(),
        () => false,
      ),
    ),
  )
  return paths.filter((_, i) => isFile[i])
}

/** Of the file of weights. Rejects with ERR_WEIGHTS where it cannot be read. */
export async function modelHash(path: string): Promise<string> {
  try {
    return await fileHash(path)
  } catch (error) {
    throw new PipelineError(
      'ERR_WEIGHTS',
      `${path}: cannot be read: ${(error as Error).message}`,
      { path },
      { cause: error },
    )
  }
}

/**
 * Of what decides a mask beside scan and weights: the network, the stages, and the engine's precision and backend, as it was
 * chosen. Places of files are no part of it.
 */
export function definitionHash({ network, stages, engine }: Definition, backend = engine.backend): string {
  const { weights: _, ...shape } = network ?? { kind: '' }
  const made = stages.flatMap(stage => madeBy(stage) ?? [])
  const text = canonicalJson({ network: shape, stages: made, precision: engine.precision, backend })
  return createHash('sha256').update(text).digest('hex')
}

/** What a stage's options say of its result; undefined of a stage that changes nothing. */
function madeBy(stage: Definition['stages'][number]): object | undefined {
  if (stage.kind === 'cache') {
    // Cases pass through the encoding whatever is kept; an exact one changes no voxel.
    const { kind, encoding } = stage as { kind: string; encoding?: string }
    return encoding === 'uint16' ? { kind, encoding } : undefined
  }
  // How many are made or kept at a time decides when, not what.
  return { ...stage, parallel: undefined, keep: undefined, windowBatch: undefined }
}

/** JSON without spaces whose keys are sorted: equal values, equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    typeof field === 'object' && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : field,
  )
}
