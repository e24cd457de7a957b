/**
 * The folder that a run leaves. What is written of the run as a whole goes into a hidden folder inside it and is moved into
 * place, file by file, when the run ends: a failed run overwrites nothing, and every file appears whole. So do all results
 * of training and evaluation; masks go straight to their places, each when it is done, so that nothing is lost of a batch.
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
import { dirname, join, relative, sep } from 'node:path'
import { PipelineError } from './errors.ts'
import { toJson } from './json.ts'
import { lockOutput } from './lock.ts'
import { makeFolder } from './make-folder.ts'
import { notWritable } from './not-writable.ts'
import { shardName, type Shard } from './shard.ts'

export interface RunFolder {
  /** Where results will be. */
  readonly output: string
  /** Where what the run writes of itself waits for its end. */
  readonly staging: string
  /** Where stages put their results: the output itself, or the staging folder. */
  readonly results: string
  /** For what is unfinished; removed at the end. */
  readonly scratch: string
  /**
   * JSON as `toJson` writes it: infinities as "inf". A shard's files have its number in their names. A file that cannot be
   * written again stays as it was.
   */
  writeJson(name: string, value: unknown): void
  writeText(name: string, text: string): void
  appendLine(name: string, value: unknown): void
  /** Throws ERR_OUTPUT where something is in the way of what is to be moved. */
  checkWay(): void
  /** Moves everything into place and gives the lock back. */
  publish(): void
  /** Ends without publishing. Results worth keeping (checkpoints, masks) are kept aside; says where. */
  abandon(): string | undefined
}

export interface RunFolderOptions {
  /** Results go straight into the output folder. */
  readonly direct?: boolean
  readonly shard?: Shard
  /** What decides the results; shards that run together agree in it. */
  readonly making?: string
}

/** Creates and locks the folder. Throws ERR_OUTPUT when it cannot be written, ERR_LOCKED when another run holds it. */
export function openRunFolder(output: string, { direct = false, shard, making }: RunFolderOptions = {}): RunFolder {
  const existed = existsSync(output)
  const staging = join(output, shardName('.running', shard))
  const scratch = join(staging, 'scratch')
  let unlock: () => void
  try {
    makeFolder(output)
    accessSync(output, constants.W_OK)
    unlock = lockOutput(output, shard, making)
  } catch (error) {
    if (error instanceof PipelineError) throw error
    throw notWritable(output, error)
  }
  try {
    // Left behind by a run that was killed: its checkpoints and masks were written whole, so they are kept aside.
    for (const left of stagingsIn(output, shard)) setAside(left, output)
    mkdirSync(scratch, { recursive: true })
  } catch (error) {
    unlock()
    throw notWritable(output, error)
  }
  const write = (name: string, work: (path: string) => void): void => {
    const path = join(staging, shardName(name, shard))
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
    results: direct ? output : staging,
    scratch,
    writeText: (name, text) => write(name, path => writeWhole(path, text)),
    writeJson: (name, value) => write(name, path => writeWhole(path, `${toJson(value, 2)}\n`)),
    appendLine: (name, value) => write(name, path => appendFileSync(path, `${toJson(value)}\n`)),
    checkWay: () => void movesInto(staging, output),
    publish() {
      try {
        removeIfPossible(scratch)
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

function writeWhole(path: string, text: string): void {
  const whole = `${path}.new`
  try {
    writeFileSync(whole, text)
    renameSync(whole, path)
  } catch (error) {
    rmSync(whole, { force: true })
    throw error
  }
}

/** Of who holds the lock: all but those of the other shards of its batch. A whole run, and shards of another number, live no more. */
function stagingsIn(output: string, own: Shard | undefined): string[] {
  const names = readdirSync(output).filter(name => {
    const [found, , count] = /^\.running(?:-(\d+)-of-(\d+))?$/.exec(name) ?? []
    return found !== undefined && (found === shardName('.running', own) || !own || Number(count) !== own.count)
  })
  return names.map(name => join(output, name))
}

/** Moves results worth keeping (checkpoints, masks) to `interrupted`, or to the next free name like it; removes the rest. */
function setAside(staging: string, output: string): string | undefined {
  if (!existsSync(staging)) return undefined
  rmSync(join(staging, 'scratch'), { recursive: true, force: true })
  const worthKeeping = filesIn(staging).some(file => /\.(safetensors|nii\.gz|nii)$/.test(file))
  const kept = worthKeeping ? freeName(join(output, 'interrupted')) : undefined
  if (kept) renameSync(staging, kept)
  else rmSync(staging, { recursive: true, force: true })
  return kept
}

/** Every target is looked at before the first file moves, so that what is in the way stops the whole. */
function movesInto(from: string, to: string): { file: string; target: string }[] {
  const files = filesIn(from).filter(file => !relative(from, file).startsWith(`scratch${sep}`))
  const moves = files.map(file => ({ file, target: join(to, relative(from, file)) }))
  for (const { target } of moves) {
    if (existsSync(target) && statSync(target).isDirectory()) throw inTheWay(target, 'a folder')
    for (let parent = dirname(target); parent !== to; parent = dirname(parent)) {
      if (existsSync(parent) && !statSync(parent).isDirectory()) throw inTheWay(parent, 'a file')
    }
  }
  return moves
}

function moveInto(from: string, to: string): void {
  for (const { file, target } of movesInto(from, to)) {
    mkdirSync(dirname(target), { recursive: true })
    renameSync(file, target)
  }
  removeIfPossible(from)
}

/** What is left of a finished run, such as a file that somebody on another machine still reads, is no reason to fail it. */
function removeIfPossible(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true })
  } catch {
    // The next run of this output removes it.
  }
}

/** ERR_OUTPUT for what stands where a result should go. */
export function inTheWay(path: string, what: string): PipelineError {
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
