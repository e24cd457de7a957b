/** What a cached case depends on, as text: equal text, equal voxels. */

import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { keys } from './entry-head.ts'
import type { Case, Key } from '../pipeline/flow.ts'
import { formatVersion } from './checked-file.ts'
import { toText, type Json } from './plain-text.ts'

/** Options that decide when voxels are made, not which. */
const voxelsDoNotDependOn: ReadonlySet<string> = new Set(['parallel', 'keep'])

export interface KeyParts {
  readonly files: Pick<Case, Key>
  /** All stages before the cache, with their options; the cache itself is none of them. */
  readonly stages: readonly { readonly kind: string }[]
  /** How each volume is kept; whatever else of the cache's options changes voxels. */
  readonly encoding: Json
  /** ctflow's. */
  readonly version: string
}

/**
 * The key of a case. Files count by path, size and time of change in nanoseconds; of a pair .hdr/.img both do, of a folder
 * of slices all that are not hidden. A file that cannot be seen has a key of its own: the stages will say what is wrong with it. Ask again after the voxels were pulled:
 * where the key is another, a file has changed meanwhile and nothing may be kept.
 */
export async function caseKey({ files, stages, encoding, version }: KeyParts): Promise<string> {
  const paths = keys.map(key => files[key])
  return toText({
    files: await Promise.all(paths.map(path => (path === undefined ? null : fileFacts(path)))),
    stages: stages.map(optionsOf),
    encoding,
    version,
    format: formatVersion,
    // Bytes lie in a machine's own order, and other processors round otherwise.
    arch: process.arch,
  })
}

/** The name that a key has in the cache's folder. */
export function nameOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

function optionsOf(stage: { readonly kind: string }): Json {
  const options = Object.entries(stage as unknown as Readonly<Record<string, Json>>)
  return Object.fromEntries(options.filter(([name]) => !voxelsDoNotDependOn.has(name)))
}

/** Path, size and mtime of a file and of what may lie beside it and belong to it, or of all files in a folder. */
async function fileFacts(path: string): Promise<Json> {
  const within = await filesIn(path)
  if (within) return [[path], ...(await Promise.all(within.map(factsOfOne)))]
  const stem = path.replace(/\.(nii|hdr|img)(\.gz)?$/, '')
  const beside = ['.hdr', '.hdr.gz', '.img', '.img.gz'].map(ending => stem + ending)
  const all = [path, ...beside.filter(other => other !== path)]
  const facts = await Promise.all(all.map(factsOfOne))
  return [facts[0] ?? [path], ...facts.slice(1).filter(fact => fact !== null)]
}

/** Undefined for what is no folder. */
async function filesIn(path: string): Promise<string[] | undefined> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => undefined)
  return entries
    ?.filter(entry => !entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => join(path, name))
    .toSorted()
}

async function factsOfOne(path: string): Promise<Json> {
  try {
    const { size, mtimeNs } = await stat(path, { bigint: true })
    return [path, String(size), String(mtimeNs)]
  } catch {
    return null
  }
}
