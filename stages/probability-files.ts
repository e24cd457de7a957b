/** Probabilities written while they are made: a few planes on their way, never a volume. */

import { randomUUID } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { writeNifti } from '../imaging/nifti-write.ts'
import { makeFolder } from '../pipeline/make-folder.ts'
import { notWritable } from '../pipeline/not-writable.ts'
import type { Case } from '../pipeline/flow.ts'
import type { Grid, Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import { Feed } from './feed.ts'

export interface ProbabilityFiles {
  /** One plane (y, x) of each map; they are copied. */
  readonly write: (planes: readonly Float32Array[]) => Promise<void>
  /** Waits until the files are there; their paths relative to the run's folder. */
  finish(): Promise<string[]>
  /** No file appears. */
  abandon(error: unknown): Promise<void>
}

/**
 * Begins one file per class, `<folder>/class0/<case>.nii.gz` and so on; of two classes the second's alone, `<case>.nii.gz`.
 * With the geometry of the scan's header, where it is known.
 */
export function probabilityFiles(
  { id }: Pick<Case, 'id'>,
  folder: string,
  maps: readonly Volume[],
  geometryFrom: Uint8Array | undefined,
  context: Pick<Context, 'folder' | 'scratch'>,
): ProbabilityFiles {
  const ofTwo = maps.length === 2
  const writers = (ofTwo ? maps.slice(1) : maps).map(({ grid }, c) => {
    const path = join(context.folder, folder, ofTwo ? '' : `class${c}`, `${id}.nii.gz`)
    const into = join(context.scratch ?? dirname(path), `.${randomUUID()}.part`)
    const feed = new Feed<Float32Array>()
    makeFolderOf(path)
    const content = { grid, voxels: feed, ...(geometryFrom && { geometryFrom }) }
    const writing = writeNifti(path, content, { level: 1, into })
    writing.catch((error: unknown) => feed.fail(error))
    return { path, into, feed, writing }
  })
  const remove = async (): Promise<void> => {
    for (const { into } of writers) await rm(into, { force: true }).catch(() => undefined)
  }
  return {
    async write(planes) {
      await Promise.all(writers.map(({ feed }, i) => feed.push(planes[ofTwo ? 1 : i]!.slice())))
    },
    async finish() {
      for (const { feed } of writers) feed.end()
      try {
        await settled(writers.map(({ writing }) => writing))
        for (const { into, path } of writers) await orNotWritable(path, () => rename(into, path))
      } catch (error) {
        await remove()
        throw error
      }
      return writers.map(({ path }) => relative(context.folder, path))
    },
    async abandon(error) {
      for (const { feed } of writers) feed.fail(error)
      await Promise.allSettled(writers.map(({ writing }) => writing))
      await remove()
    },
  }
}

function makeFolderOf(path: string): void {
  try {
    makeFolder(dirname(path))
  } catch (error) {
    throw notWritable(path, error)
  }
}

async function orNotWritable(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw notWritable(path, error)
  }
}

/** Waits for all of them; then rejects with the first error. */
async function settled(all: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(all)
  await Promise.all(all)
}

/** Bytes of planes and blocks that are on their way to the files. */
export function probabilityFileBytes({ shape }: Grid, classes: number): number {
  return classes * (8 * shape[0] * shape[1] + (8 << 20))
}
