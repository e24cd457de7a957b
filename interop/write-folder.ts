/** Writing an import: all its files or none, and never over files that are there, unless asked to. */

import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PipelineError } from '../pipeline/errors.ts'
import { makeFolder } from '../pipeline/make-folder.ts'

/**
 * `fill` writes into a fresh folder in `out`, or beside it where it is not there yet; its files then take their places in
 * `out`. When anything fails, `out` is as it was. Gives the names. ERR_OUTPUT for files in the way (without `force`) and for what cannot be written.
 */
export async function writeFolder(
  out: string,
  names: readonly string[],
  force: boolean,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  refuseExisting(out, names, force)
  // A folder that is there may be written to where its parent may not, such as a home.
  const beside = existsSync(out) ? out : dirname(out)
  const staging = join(beside, `.${basename(out)}.${randomBytes(4).toString('hex')}.importing`)
  try {
    makeFolder(staging)
    await fill(staging)
    publish(staging, out)
  } catch (error) {
    if (error instanceof PipelineError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    // Only the file system's errors carry such a code; anything else is a bug, and passes.
    if (typeof code !== 'string') throw error
    throw new PipelineError(
      'ERR_OUTPUT',
      `${out}: cannot be written: ${message}; choose another place with --out`,
      { out },
      { cause: error },
    )
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function refuseExisting(out: string, names: readonly string[], force: boolean): void {
  const found = statSync(out, { throwIfNoEntry: false })
  if (found && !found.isDirectory())
    throw new PipelineError(
      'ERR_OUTPUT',
      `${out}: expected a folder to write to, found a file; choose another with --out`,
      { out },
    )
  const inTheWay = names.filter(name => lstatSync(join(out, name), { throwIfNoEntry: false }))
  // Folders, devices and pipes: a file must not take their place, whoever allows it.
  const others = inTheWay.filter(name => {
    const status = lstatSync(join(out, name))
    return !status.isFile() && !status.isSymbolicLink()
  })
  if (inTheWay.length === 0 || (force && others.length === 0)) return
  const cure = others.length > 0 ? 'move it' : 'choose another place with --out, or replace them with --force'
  throw new PipelineError(
    'ERR_OUTPUT',
    `${out}: expected none of the files of the import, found ${(others.length > 0 ? others : inTheWay).join(', ')}; nothing is written; ${cure}`,
    { out, inTheWay },
  )
}

/** Moves every file into place; on the first that fails, those moved go and those replaced come back. */
function publish(staging: string, out: string): void {
  const existed = existsSync(out)
  makeFolder(out)
  const replaced = join(staging, '.replaced')
  const moved: string[] = []
  try {
    const names = readdirSync(staging)
    mkdirSync(replaced)
    for (const name of names) {
      const target = join(out, name)
      if (lstatSync(target, { throwIfNoEntry: false })) renameSync(target, join(replaced, name))
      moved.push(name)
      renameSync(join(staging, name), target)
    }
  } catch (error) {
    for (const name of moved) {
      rmSync(join(out, name), { force: true })
      if (existsSync(join(replaced, name))) renameSync(join(replaced, name), join(out, name))
    }
    if (!existed) removeIfEmpty(out)
    throw error
  }
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Not empty: somebody's files, which stay.
  }
}
