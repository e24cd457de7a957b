/**
 * The folder that a run leaves. Everything is written into a hidden folder inside it and moved into place, file by
 * file, when the run ends well: a failed run overwrites nothing, and every file appears whole.
 */

import {
  accessSync,
  appendFileSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { PipelineError } from './errors.ts'
import { toJson } from './json.ts'
import { takeLock } from './lock.ts'
import { makeFolder } from './make-folder.ts'

export interface RunFolder {
  /** Where results will be. */
  readonly output: string
  /** Where the run writes them meanwhile. */
  readonly staging: string
  /** JSON as `toJson` writes it: infinities as "inf". */
  writeJson(name: string, value: unknown): void
  writeText(name: string, text: string): void
  appendLine(name: string, value: unknown): void
  /** Moves everything into place and gives the lock back. */
  publish(): void
  /** Ends without publishing. Results worth keeping (checkpoints, masks) are kept aside; says where. */
  abandon(): string | undefined
}

/** Creates and locks the folder. Throws ERR_OUTPUT when it cannot be written, ERR_LOCKED when another run holds it. */
export function openRunFolder(output: string): RunFolder {
  const existed = existsSync(output)
  const staging = join(output, '.running')
  let unlock: () => void
  try {
    makeFolder(output)
    accessSync(output, constants.W_OK)
    unlock = takeLock(join(output, '.lock'))
  } catch (error) {
    if (error instanceof PipelineError) throw error
    throw notWritable(output, error)
  }
  try {
    // Left behind by a run that was killed: its checkpoints and masks were written whole, so they are kept aside.
    if (existsSync(staging)) setAside(staging, output)
    mkdirSync(staging)
  } catch (error) {
    unlock()
    throw notWritable(output, error)
  }
  const write = (name: string, work: (path: string) => void): void => {
    const path = join(staging, name)
    try {
      mkdirSync(dirname(path), { recursive: true })
      work(path)
    } catch (error) {
      throw notWritable(path, error)
    }
  }
  return {
    output,
    staging,
    writeText: (name, text) => write(name, path => writeFileSync(path, text)),
    writeJson: (name, value) => write(name, path => writeFileSync(path, `${toJson(value, 2)}\n`)),
    appendLine: (name, value) => write(name, path => appendFileSync(path, `${toJson(value)}\n`)),
    publish() {
      try {
        moveInto(staging, output)
      } catch (error) {
        throw error instanceof PipelineError ? error : notWritable(output, error)
      }
      unlock()
    },
    abandon() {
      try {
        return setAside(staging, output)
      } catch {
        // The folder is gone or read-only: nothing more can be kept, and the error that led here is the one to tell.
        return undefined
      } finally {
        unlock()
        if (!existed) removeIfEmpty(output)
      }
    },
  }
}

/** Moves results worth keeping (checkpoints, masks) to `interrupted`, or to the next free name like it; removes the rest. */
function setAside(staging: string, output: string): string | undefined {
  const worthKeeping = filesIn(staging).some(file => /\.(safetensors|nii\.gz|nii)$/.test(file))
  const kept = worthKeeping ? freeName(join(output, 'interrupted')) : undefined
  if (kept) renameSync(staging, kept)
  else rmSync(staging, { recursive: true, force: true })
  return kept
}

function notWritable(path: string, error: unknown): PipelineError {
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    EACCES: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    ENOTDIR: 'a part of the path is a file',
    EEXIST: 'a file of that name is in the way',
    EDQUOT: 'the disk quota is used up',
  }
  return new PipelineError(
    'ERR_OUTPUT',
    `${path}: cannot be written: ${reasons[code ?? ''] ?? message}; choose another "output" or mend its permissions`,
    { path },
    { cause: error },
  )
}

/** Every target is looked at before the first file moves, so that what is in the way stops the whole. */
function moveInto(from: string, to: string): void {
  const moves = filesIn(from).map(file => ({ file, target: join(to, relative(from, file)) }))
  for (const { target } of moves) {
    if (existsSync(target) && statSync(target).isDirectory()) throw inTheWay(target, 'a folder')
    for (let parent = dirname(target); parent !== to; parent = dirname(parent)) {
      if (existsSync(parent) && !statSync(parent).isDirectory()) throw inTheWay(parent, 'a file')
    }
  }
  for (const { file, target } of moves) {
    mkdirSync(dirname(target), { recursive: true })
    renameSync(file, target)
  }
  rmSync(from, { recursive: true, force: true })
}

function inTheWay(path: string, what: string): PipelineError {
  return new PipelineError(
    'ERR_OUTPUT',
    `${path}: ${what} of that name is in the way of the results; move it, or choose another "output"`,
    { path },
  )
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
}

function freeName(path: string): string {
  let name = path
  for (let i = 2; existsSync(name); i++) name = `${path}-${i}`
  return name
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Not empty: somebody's files, which stay.
  }
}
