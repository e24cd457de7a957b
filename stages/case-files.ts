/** Files of a case that appear together or not at all. */

import { randomUUID } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { PipelineError } from '../pipeline/errors.ts'
import { makeFolder } from '../pipeline/make-folder.ts'
import { notWritable, refusalOf } from '../pipeline/not-writable.ts'
import type { Context } from '../pipeline/stage.ts'

/** Adds `<stem><ending>`, whole: text, pieces of bytes, or what a function makes of a file that is not there yet. */
export type Add = (
  ending: string,
  content: string | Iterable<Uint8Array> | ((temporary: string, path: string) => Promise<void>),
) => Promise<void>

/**
 * Lets `fill` write files in the run's folder for unfinished ones (beside their places where there is none), and then puts all
 * of them in place, in the order in which they were added. `stem` is relative to the run's folder; so are the paths that it
 * gives. ERR_OUTPUT for what cannot be written; ERR_DATASET where only this case's name cannot be: too long for the file
 * system, or something else lies at its place. Whatever fails, none of the files is there then.
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
    // Without the case's name, which may be as long as a file system allows.
    const temporary = join(scratch ?? dirname(path), `.${randomUUID()}.part`)
    await output(path, folder, async () => {
      makeFolder(dirname(path))
      files.push({ temporary, path })
      await (typeof content === 'function' ? content(temporary, path) : writeFlushed(temporary, content))
    })
  }
  try {
    await fill(add)
    for (const { temporary, path } of files) {
      await output(path, folder, () => rename(temporary, path))
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

/** What a file system says of a name, where others may well be written. */
const aboutTheName: ReadonlySet<string> = new Set(['ENAMETOOLONG', 'EISDIR', 'ENOTDIR', 'EEXIST'])

/** The file system's errors with the path that the user knows; others pass. */
async function output<T>(path: string, folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // Who wrote the file may have put the system's refusal into words already.
    const refusal = error instanceof PipelineError && error.code === 'ERR_OUTPUT' ? error.cause : error
    const { code } = (refusal ?? {}) as NodeJS.ErrnoException
    if (refusal instanceof PipelineError || typeof code !== 'string') throw error
    if (!aboutTheName.has(code) || !(await hasPlaceForCases(path, folder)))
      throw error instanceof PipelineError ? error : notWritable(path, error)
    throw new PipelineError(
      'ERR_DATASET',
      `${path}: cannot be written: ${refusalOf(refusal)}; rename the scan, or move away what lies there`,
      { path },
      { cause: error },
    )
  }
}

/** Whether the folder below the run's, in which all cases lie, is one: else no case can be written. */
async function hasPlaceForCases(path: string, folder: string): Promise<boolean> {
  const [first] = relative(folder, path).split(sep)
  return stat(join(folder, first!)).then(
    found => found.isDirectory(),
    () => false,
  )
}
