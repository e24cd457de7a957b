/** Files of a case that appear together or not at all. */

import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { makeFolder } from '../pipeline/make-folder.ts'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import type { Context } from '../pipeline/stage.ts'

/** Adds `<stem><ending>`, whole: text, pieces of bytes, or what a function makes of a file that is not there yet. */
export type Add = (
  ending: string,
  content: string | Iterable<Uint8Array> | ((temporary: string, path: string) => Promise<void>),
) => Promise<void>

/**
 * Lets `fill` write files in the run's folder for unfinished ones (beside their places where there is none), and then puts all
 * of them in place, in the order in which they were added. `stem` is relative to the run's folder; so are the paths that it
 * gives. ERR_OUTPUT for what cannot be written; whatever fails, none of the files is there then.
 */
export async function writeTogether(
  { folder, scratch }: Pick<Context, 'folder' | 'scratch'>,
  stem: string,
  fill: (add: Add) => Promise<void>,
): Promise<string[]> {
  const files: { readonly temporary: string; readonly path: string }[] = []
  const placed: string[] = []
  const add: Add = async (ending, content) => {
    const path = join(folder, stem + ending)
    const name = `.${basename(path)}.${randomUUID()}.part`
    const temporary = join(scratch ?? dirname(path), name)
    await output(path, async () => {
      makeFolder(dirname(path))
      files.push({ temporary, path })
      await (typeof content === 'function' ? content(temporary, path) : writeFlushed(temporary, content))
    })
  }
  try {
    await fill(add)
    for (const { temporary, path } of files) {
      await output(path, () => rename(temporary, path))
      placed.push(path)
    }
    return placed.map(path => relative(folder, path))
  } catch (error) {
    const left = [...files.map(({ temporary }) => temporary), ...placed]
    // What stopped the writing is what the user must hear, even where the rest cannot be removed either.
    await Promise.all(left.map(path => rm(path, { force: true }).catch(() => undefined)))
    throw error
  }
}

/** On the disk when it returns, not only on its way. */
async function writeFlushed(path: string, content: string | Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx')
  try {
    for (const piece of typeof content === 'string' ? [content] : content) await file.writeFile(piece)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The file system's errors as ERR_OUTPUT with the path that the user knows; others pass. */
async function output<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof PipelineError || typeof (error as NodeJS.ErrnoException).code !== 'string') throw error
    throw new PipelineError(
      'ERR_OUTPUT',
      `${path}: cannot be written: ${messageOf(error)}; check the folder's permissions and the space left`,
      { path },
      { cause: error },
    )
  }
}
