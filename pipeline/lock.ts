/** One run per output folder: a lock file that a dead process does not hold forever. */

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { PipelineError } from './errors.ts'

interface Holder {
  readonly pid: number
  readonly host: string
  /** Differs after a restart of the machine, so that a reused process id is not taken for the old process. */
  readonly boot: string
  readonly since: string
}

/** Takes the lock or throws ERR_LOCKED naming who holds it. Returns how to give it back. */
export function takeLock(path: string): () => void {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path)) return () => rmSync(path, { force: true })
    const holder = read(path)
    if (holder && isAlive(holder)) {
      throw new PipelineError(
        'ERR_LOCKED',
        `${path}: another run works on this output folder (process ${holder.pid} on ${holder.host}, since ${holder.since}); wait for it, or choose another "output"; if that process is gone for good, delete the file`,
        { path, pid: holder.pid, host: holder.host },
      )
    }
    takeAway(path, holder)
  }
  throw new PipelineError('ERR_LOCKED', `${path}: several runs compete for this output folder; try again`, { path })
}

/** Moves a stale lock away; what turns out to be somebody's fresh one is put back. */
function takeAway(path: string, stale: Holder | undefined): void {
  const aside = `${path}.stale-${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (JSON.stringify(read(aside)) !== JSON.stringify(stale)) linkSync(aside, path)
  rmSync(aside, { force: true })
}

/** The lock file appears with its content, or not at all: nobody reads it half written. */
function create(path: string): boolean {
  const me: Holder = { pid: process.pid, host: hostname(), boot: bootId(), since: new Date().toISOString() }
  const whole = `${path}.${process.pid}`
  writeFileSync(whole, `${JSON.stringify(me)}\n`)
  try {
    linkSync(whole, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(whole, { force: true })
  }
}

function read(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Holder
  } catch {
    // Gone meanwhile, or cut short by a crash: nobody holds it.
    return undefined
  }
}

function isAlive(holder: Holder): boolean {
  // Another machine's processes cannot be seen from here: believe the lock.
  if (holder.host !== hostname()) return true
  if (holder.boot !== bootId()) return false
  try {
    process.kill(holder.pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
