/** One run per output folder, or the shards of one: lock files that a dead process does not hold forever. */

import { randomUUID } from 'node:crypto'
import {
  existsSync,
  linkSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { PipelineError } from './errors.ts'
import { shardName, shardText, type Shard } from './shard.ts'

interface Holder {
  readonly pid: number
  readonly host: string
  /** Differs after a restart of the machine, so that a reused process id is not taken for the old process. */
  readonly boot: string
  /** When the process began, in the kernel's ticks: the first process of a container has the same id after each restart. */
  readonly began?: string
  /** The namespace in which `pid` counts: a container's numbers are its own. */
  readonly space?: string
  /** The job of a scheduler, which restarts it elsewhere only when it is over where it was. */
  readonly job?: { readonly id: string; readonly restart: number }
  readonly since: string
  /** What it makes; shards that live together must make the same. */
  readonly making?: string
}

const name = '.lock'
const names = /^\.lock(?:-(\d+)-of-(\d+))?$/

/**
 * Takes the folder for a whole run or for one shard. A whole run lets nobody else in; a shard only other shards of as many
 * that make the same. Throws ERR_LOCKED naming who holds it. Returns how to give it back.
 */
export function lockOutput(output: string, shard?: Shard, making?: string): () => void {
  const path = join(output, shardName(name, shard))
  const unlock = takeLock(path, making)
  try {
    // After taking its own: of two who come at once, at least one sees the other.
    for (const other of othersIn(output, path)) refuseBeside(other, shard, making)
    return unlock
  } catch (error) {
    unlock()
    throw error
  }
}

/**
 * Throws ERR_LOCKED where somebody alive holds the folder against a run or a shard of it, and changes nothing. Whether another
 * shard of as many makes the same shows when the lock is taken.
 */
export function refuseHeld(output: string, shard?: Shard): void {
  const path = join(output, shardName(name, shard))
  const holder = read(path)
  if (holder && isAlive(holder)) throw locked(path, holder, 'another run works on this output folder')
  if (!existsSync(output)) return
  for (const other of othersIn(output, path)) refuseBeside(other, shard, other.holder.making)
}

/** Who holds the lock of a shard, for people; undefined where nobody does. */
export function holderOf(output: string, shard: Shard): string | undefined {
  const holder = read(join(output, shardName(name, shard)))
  return holder && isAlive(holder) ? who(holder) : undefined
}

interface Other {
  readonly path: string
  readonly holder: Holder
  readonly shard?: Shard
}

function othersIn(output: string, own: string): Other[] {
  return readdirSync(output).flatMap(entry => {
    const [found, index, count] = names.exec(entry) ?? []
    const path = join(output, entry)
    if (found === undefined || path === own) return []
    const holder = read(path)
    if (!holder || !isAlive(holder)) return []
    return [{ path, holder, ...(index !== undefined && { shard: { index: Number(index), count: Number(count) } }) }]
  })
}

function refuseBeside({ path, holder, shard: other }: Other, shard: Shard | undefined, making?: string): void {
  const same = other && shard && other.count === shard.count && holder.making === making
  if (same) return
  const found = other ? `shard ${shardText(other)}` : 'another run'
  const why =
    other && shard
      ? other.count === shard.count
        ? ', with another definition or model'
        : `, and this is shard ${shardText(shard)}`
      : ''
  throw locked(path, holder, `${found} works on this output folder${why}`)
}

function locked(path: string, holder: Holder, what: string): PipelineError {
  return new PipelineError(
    'ERR_LOCKED',
    `${path}: ${what} (${who(holder)}); wait for it, or choose another "output"; if that process is gone for good, delete the file`,
    { path, pid: holder.pid, host: holder.host },
  )
}

function who({ pid, host, since }: Holder): string {
  return `process ${pid} on ${host}, since ${since}`
}

/** Takes the lock or throws ERR_LOCKED naming who holds it. Returns how to give it back. */
export function takeLock(path: string, making?: string): () => void {
  for (let attempt = 0; attempt < 3; attempt++) {
    const own = create(path, making)
    if (own !== undefined) return () => giveBack(path, own)
    const holder = read(path)
    if (holder && isAlive(holder)) throw locked(path, holder, 'another run works on this output folder')
    takeAway(path, holder)
  }
  throw new PipelineError('ERR_LOCKED', `${path}: several runs compete for this output folder; try again`, { path })
}

/** Moves a stale lock away; what turns out to be somebody's fresh one is put back. */
function takeAway(path: string, stale: Holder | undefined): void {
  const aside = `${path}.${randomUUID()}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    if (JSON.stringify(read(aside)) !== JSON.stringify(stale)) linkSync(aside, path)
  } catch (error) {
    // A third one has taken the folder in between: its lock is the one that stands.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Removes the lock where it is still the one that was taken: somebody may have deleted it, and another taken the folder since. */
function giveBack(path: string, own: string): void {
  let found: string | undefined
  try {
    found = readFileSync(path, 'utf8')
  } catch {
    // Gone: there is nothing to give back.
  }
  if (found === own) rmSync(path, { force: true })
}

/** The lock file appears with its content, or not at all: nobody reads it half written. Returns the content; undefined where there is a lock. */
function create(path: string, making: string | undefined): string | undefined {
  const job = jobOf(process.env)
  const me: Holder = {
    pid: process.pid,
    host: hostname(),
    boot: bootId(),
    began: beginOf(process.pid),
    space: pidSpace(),
    ...(job && { job }),
    since: new Date().toISOString(),
    ...(making !== undefined && { making }),
  }
  // Two containers may have one process id, so the name is nobody else's.
  const id = randomUUID()
  const whole = `${path}.${id}`
  const content = `${JSON.stringify({ ...me, id })}\n`
  try {
    writeFileSync(whole, content)
    linkSync(whole, path)
    return content
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
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
  const job = jobOf(process.env)
  if (job && holder.job?.id === job.id && holder.job.restart < job.restart) return false
  // Another machine's processes cannot be seen from here: believe the lock.
  if (holder.host !== hostname()) return true
  if (holder.boot !== bootId()) return false
  // Nor can those of another container on this one, unless it was this container or pod before it was started again.
  if (holder.space && holder.space !== pidSpace()) return !isOwnHostName(hostname(), process.env)
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  const began = beginOf(holder.pid)
  return !holder.began || began === '' || began === holder.began
}

/** Field 22 of Linux's /proc/<pid>/stat; "" where it cannot be had. The second field, in brackets, may hold anything. */
function beginOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

/** Slurm gives a job that it puts back into the queue, as after the loss of a machine, the same id and the next number. */
function jobOf(env: NodeJS.ProcessEnv): Holder['job'] {
  const { SLURM_JOB_ID: id, SLURM_CLUSTER_NAME: cluster = '', SLURM_RESTART_COUNT: restart = '0' } = env
  return id === undefined ? undefined : { id: `slurm ${cluster} ${id}`, restart: Number(restart) }
}

/** Which process ids can be seen; "" where it cannot be had. */
function pidSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/**
 * Whether no other container has this one's host name: Docker's own, the container's id, or that of an indexed Job's pod, which
 * its successor has too and two never have at once. Any other may be the machine's, which containers can share.
 */
function isOwnHostName(host: string, { JOB_COMPLETION_INDEX: index }: NodeJS.ProcessEnv): boolean {
  return /^[0-9a-f]{12}$/.test(host) || (index !== undefined && host.endsWith(`-${index}`))
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
