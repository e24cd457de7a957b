/** Files of a case that its last line no longer names: moved aside, so that what lies in its place is what the line says. */

import { mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { manifestsIn } from './manifest.ts'
import { notWritable } from './not-writable.ts'

/** Where they go, below the output folder. */
const aside = 'superseded'

export class Superseded {
  readonly #output: string
  /** By case: every file that some run has written for it. */
  readonly #known: ReadonlyMap<string, ReadonlySet<string>>

  /** Asks all manifests in the folder, the earlier ones too. ERR_OUTPUT where one cannot be read. */
  constructor(output: string) {
    this.#output = output
    const known = new Map<string, Set<string>>()
    for (const { runs } of manifestsIn(output))
      for (const { case: id, outputs } of runs.flatMap(({ lines }) => lines))
        for (const { path } of outputs) if (isInside(path)) known.set(id, (known.get(id) ?? new Set()).add(path))
    this.#known = known
  }

  /** Moves the case's files that are not `kept` to `superseded/<path>`, over older ones there. Returns how many. ERR_OUTPUT. */
  moveAside(id: string, kept: readonly { readonly path: string }[]): number {
    const stays = new Set(kept.map(({ path }) => path))
    const left = [...(this.#known.get(id) ?? [])].filter(path => !stays.has(path) && isFile(join(this.#output, path)))
    for (const path of left) {
      const target = join(this.#output, aside, path)
      try {
        mkdirSync(dirname(target), { recursive: true })
        renameSync(join(this.#output, path), target)
      } catch (error) {
        throw notWritable(target, error)
      }
    }
    return left.length
  }
}

/** A manifest may have been written by anybody: nothing outside the output folder is touched. */
function isInside(path: unknown): path is string {
  return typeof path === 'string' && !isAbsolute(path) && normalize(path).split(sep)[0] !== '..'
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}
