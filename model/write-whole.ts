/** Writing a file so that whoever reads it finds the old one or the new one, never a half. */

import { randomBytes } from 'node:crypto'
import { existsSync, statSync, type Stats } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PipelineError } from '../pipeline/errors.ts'

/**
 * Writes the pieces, one after the other, to a file beside `path` that then takes its place. ERR_OUTPUT where that cannot
 * be; nothing is left behind then.
 */
export async function writeWhole(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  refuseOtherThanFile(path)
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx')
    try {
      for (const piece of pieces) await file.writeFile(piece)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    // Only the file system's errors carry such a code; what the pieces throw is theirs.
    if (cause instanceof PipelineError || typeof (cause as NodeJS.ErrnoException).code !== 'string') throw cause
    const folder = dirname(path)
    throw notWritable(
      path,
      existsSync(folder) ? (cause as Error).message : `there is no folder ${folder}; make it first`,
      cause,
    )
  }
}

function notWritable(path: string, why: string, cause: unknown): PipelineError {
  return new PipelineError('ERR_OUTPUT', `${path}: cannot be written: ${why}`, { path }, { cause })
}

/** ERR_OUTPUT where a folder, a device or a pipe is, whose place a file must not take, and for a path that cannot be. */
export function refuseOtherThanFile(path: string): void {
  let found: Stats | undefined
  try {
    found = statSync(path, { throwIfNoEntry: false })
  } catch (cause) {
    throw notWritable(path, (cause as Error).message, cause)
  }
  if (!found || found.isFile()) return
  const what = found.isDirectory() ? 'a folder' : 'a device or a pipe'
  throw new PipelineError('ERR_OUTPUT', `${path}: expected the name of a file to write, found ${what}`, { path })
}
