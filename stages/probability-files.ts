/** Probabilities written while they are made: a few planes on their way, never a volume. */

import { join, relative } from 'node:path'
import { writeNifti } from '../imaging/nifti-write.ts'
import type { Case, Context, Grid, Volume } from '../pipeline/stage.ts'

export interface ProbabilityFiles {
  /** One plane (y, x) of each map; they are copied. */
  readonly write: (planes: readonly Float32Array[]) => Promise<void>
  /** Waits until the files are there; their paths relative to the run's folder. */
  finish(): Promise<string[]>
  /** No file appears. */
  abandon(error: unknown): Promise<void>
}

/**
 * Begins one file per class, `<folder>/<case>_class0.nii.gz` and so on; of two classes the second's alone, `<case>.nii.gz`.
 * With the geometry of the scan's header, where it is known.
 */
export function probabilityFiles(
  { id }: Pick<Case, 'id'>,
  folder: string,
  maps: readonly Volume[],
  geometryFrom: Uint8Array | undefined,
  context: Pick<Context, 'folder'>,
): ProbabilityFiles {
  const ofTwo = maps.length === 2
  const writers = (ofTwo ? maps.slice(1) : maps).map(({ grid }, c) => {
    const name = ofTwo ? '' : `_class${c}`
    const path = join(context.folder, folder, `${id}${name}.nii.gz`)
    const feed = new Feed<Float32Array>()
    const writing = writeNifti(path, { grid, voxels: feed, ...(geometryFrom && { geometryFrom }) }, { level: 1 })
    writing.catch((error: unknown) => feed.fail(error))
    return { path, feed, writing }
  })
  return {
    async write(planes) {
      await Promise.all(writers.map(({ feed }, i) => feed.push(planes[ofTwo ? 1 : i]!.slice())))
    },
    async finish() {
      for (const { feed } of writers) feed.end()
      await Promise.all(writers.map(({ writing }) => writing))
      return writers.map(({ path }) => relative(context.folder, path))
    },
    async abandon(error) {
      for (const { feed } of writers) feed.fail(error)
      await Promise.allSettled(writers.map(({ writing }) => writing))
    },
  }
}

/** Bytes of planes and blocks that are on their way to the files. */
export function probabilityFileBytes({ shape }: Grid, classes: number): number {
  return classes * (8 * shape[0] * shape[1] + (8 << 20))
}

/** Items from who makes them to who takes them, one at a time; who makes them waits. */
class Feed<T> implements AsyncIterable<T> {
  #item: { readonly value: T } | undefined
  #isEnded = false
  #failure: { readonly error: unknown } | undefined
  /** Wakes whoever waits for a change. */
  #changed: (() => void)[] = []

  /** Resolves when the item has been taken; rejects with what the taker failed of. */
  async push(value: T): Promise<void> {
    this.#item = { value }
    this.#change()
    while (this.#item && !this.#failure) await this.#nextChange()
    if (this.#failure) throw this.#failure.error
  }

  end(): void {
    this.#isEnded = true
    this.#change()
  }

  /** Whoever waits, on either side, gets the error; the first one counts. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#change()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#failure) throw this.#failure.error
      if (this.#item) {
        const { value } = this.#item
        this.#item = undefined
        this.#change()
        yield value
      } else if (this.#isEnded) return
      else await this.#nextChange()
    }
  }

  #change(): void {
    for (const wake of this.#changed.splice(0)) wake()
  }

  #nextChange(): Promise<void> {
    return new Promise(resolve => this.#changed.push(resolve))
  }
}
