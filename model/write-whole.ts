/** Writing a file so that whoever reads it finds the old one or the new one, never a half. */

import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { PipelineError } from '../pipeline/errors.ts'

/**
 * Writes the pieces, one after the other, to a file beside `path` that then takes its place. ERR_OUTPUT where that cannot
 * be; nothing is left behind then.
 */
export async function writeWhole(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
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
    throw new PipelineError(
      'ERR_OUTPUT',
      `${path}: cannot be written: ${(cause as Error).message}`,
      { path },
      { cause },
    )
  }
}
