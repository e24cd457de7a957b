/**
 * What lies in a cache's folder, and who must go. The folder belongs to several processes: any file may vanish, and what
 * others do shows at the next look.
 */

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { readdir, rm, stat, statfs } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

export interface RoomOptions {
  readonly limitBytes: number
  /** Bytes of the disk that stay free for others. */
  readonly keepFreeBytes: number
  /** In how many cases from now an entry is wanted again; undefined where the run does not know it. */
  readonly nextUse?: (name: string) => number | undefined
}

/** `limit`: what is here is wanted sooner, or the entry is larger than the limit; `disk`: the disk has no room for it. */
export type Verdict = 'fits' | 'limit' | 'disk'

/** An entry and its annexes. */
interface Held {
  readonly name: string
  lastUseMs: number
  /** Bytes by file. */
  readonly files: Map<string, number>
}

interface Plan {
  readonly verdict: Verdict
  readonly victims: readonly Held[]
  readonly isDiskShort: boolean
}

const ours = /^([0-9a-f]{64})\.(?:entry|[0-9a-f]{16}\.annex)$/
const temporary = /^[0-9a-f]{64}\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp$/
/** Nobody writes a case for so long without writing anything. */
const abandonedAfterMs = 60 * 60 * 1000
/** What others did is looked up when so much of the limit was written here, and near the limit when so long ago. */
const shareBetweenLooks = 1 / 16
const msBetweenLooks = 1000

export class Room {
  readonly #folder: string
  readonly #options: RoomOptions
  #held = new Map<string, Held>()
  #used = 0
  #writtenSinceLook = 0
  #lookedAtMs = -Infinity
  #evictedEntries = 0
  #turn: Promise<unknown> = Promise.resolve()

  constructor(folder: string, options: RoomOptions) {
    this.#folder = folder
    this.#options = options
  }

  get evictedEntries(): number {
    return this.#evictedEntries
  }

  /**
   * Whether a file of about so many bytes would be admitted now. What must go for the limit stays until the file is written;
   * what must go for the disk goes at once.
   */
  admits(file: string, bytes: number): Promise<Verdict> {
    return this.#inTurn(async () => {
      const { verdict, victims, isDiskShort } = await this.#plan(file, bytes, bytes)
      if (isDiskShort) await this.#remove(victims)
      return verdict
    })
  }

  /** Removes what must go for a file that is written but not yet in its place, and counts it as there where it fits. */
  makeRoom(file: string, bytes: number): Promise<Verdict> {
    return this.#inTurn(async () => {
      const { verdict, victims } = await this.#plan(file, bytes, 0)
      await this.#remove(victims)
      if (verdict === 'fits') {
        this.#writtenSinceLook += bytes
        this.#hold(file, bytes, Date.now())
      }
      return verdict
    })
  }

  /** One after the other: a plan needs all of what lies there, not half of a look. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }

  async #remove(victims: readonly Held[]): Promise<void> {
    for (const victim of victims) {
      this.#held.delete(victim.name)
      this.#used -= bytesOf(victim)
      this.#evictedEntries += 1
      const paths = [...victim.files.keys()].map(name => join(this.#folder, name))
      await Promise.all(paths.map(path => rm(path, { force: true }).catch(() => {})))
    }
  }

  noteUse(name: string): void {
    const held = this.#held.get(name)
    if (held) held.lastUseMs = Date.now()
  }

  /** Looks at the folder anew and removes what killed processes have left. What is being written is not counted. */
  async look(): Promise<void> {
    const names = await readdir(this.#folder)
    this.#held = new Map()
    this.#used = 0
    this.#writtenSinceLook = 0
    this.#lookedAtMs = performance.now()
    await inTurn(names, 32, async file => {
      const isOurs = ours.test(file)
      const writer = temporary.exec(file)
      if (!isOurs && !writer) return
      const facts = await stat(join(this.#folder, file)).catch(() => undefined)
      if (!facts) return
      if (isOurs) this.#hold(file, facts.size, facts.mtimeMs)
      else if (isAbandoned(writer![1]!, Number(writer![2]), facts.mtimeMs))
        await rm(join(this.#folder, file), { force: true }).catch(() => {})
    })
  }

  #hold(file: string, bytes: number, lastUseMs: number): void {
    const name = groupOf(file)
    const held = this.#held.get(name) ?? { name, lastUseMs, files: new Map<string, number>() }
    this.#held.set(name, held)
    this.#used += bytes - (held.files.get(file) ?? 0)
    held.files.set(file, bytes)
    held.lastUseMs = Math.max(held.lastUseMs, lastUseMs)
  }

  /** Who would go for a file of `bytes`, for `unwritten` of which the disk must still have room. */
  async #plan(file: string, bytes: number, unwritten: number): Promise<Plan> {
    const { limitBytes, keepFreeBytes, nextUse } = this.#options
    if (bytes > limitBytes) return { verdict: 'limit', victims: [], isDiskShort: false }
    const share = limitBytes * shareBetweenLooks
    const isNear = this.#used + bytes + share > limitBytes && performance.now() - this.#lookedAtMs > msBetweenLooks
    if (isNear || this.#writtenSinceLook > share) await this.look()
    const name = groupOf(file)
    const replaced = this.#held.get(name)?.files.get(file) ?? 0
    const overLimit = this.#used - replaced + bytes - limitBytes
    const overDisk = unwritten + keepFreeBytes - (await freeBytes(this.#folder))
    const missing = Math.max(overLimit, overDisk)
    const own = nextUse?.(name)
    const victims: Held[] = []
    let freed = 0
    for (const held of freed < missing ? this.#inOrderOfLeaving() : []) {
      if (held.name === name) continue
      // What this run wants sooner than the newcomer stays; then nobody goes in vain.
      const next = nextUse?.(held.name)
      if (freed >= missing || (next !== undefined && own !== undefined && next <= own)) break
      victims.push(held)
      freed += bytesOf(held)
    }
    const isDiskShort = overDisk > 0
    if (freed >= missing) return { verdict: 'fits', victims, isDiskShort }
    return { verdict: overDisk > Math.max(0, overLimit) ? 'disk' : 'limit', victims: [], isDiskShort }
  }

  /** What this run does not know, longest unused first; then what it wants last. */
  #inOrderOfLeaving(): Held[] {
    return [...this.#held.values()]
      .map(held => ({ held, next: this.#options.nextUse?.(held.name) }))
      .toSorted((a, b) => {
        if (a.next === undefined || b.next === undefined || a.next === b.next)
          return Number(a.next !== undefined) - Number(b.next !== undefined) || a.held.lastUseMs - b.held.lastUseMs
        return a.next > b.next ? -1 : 1
      })
      .map(({ held }) => held)
  }
}

function groupOf(file: string): string {
  return file.slice(0, 64)
}

function bytesOf({ files }: Held): number {
  return [...files.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** Unlimited where the system does not say. */
async function freeBytes(folder: string): Promise<number> {
  const facts = await statfs(folder).catch(() => undefined)
  return facts && facts.blocks > 0 ? facts.bavail * facts.bsize : Infinity
}

/** A name nobody else writes to, that says who does. */
export function temporaryName(name: string): string {
  return `${name}.${machine()}-${process.pid}-${randomBytes(4).toString('hex')}.tmp`
}

function isAbandoned(writerMachine: string, pid: number, mtimeMs: number): boolean {
  if (Date.now() - mtimeMs > abandonedAfterMs) return true
  if (writerMachine !== machine()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Where a process id means something: host, its start, and the container's own numbering. */
function machine(): string {
  machineName ??= createHash('sha256')
    .update([hostname(), textOf('/proc/sys/kernel/random/boot_id'), linkOf('/proc/self/ns/pid')].join('\n'))
    .digest('hex')
    .slice(0, 8)
  return machineName
}

let machineName: string | undefined

/** Empty where there is no such file, as outside Linux. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** `work` on each item, `most` at a time. */
async function inTurn<T>(items: readonly T[], most: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values()
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item)
  }
  await Promise.all(Array.from({ length: most }, worker))
}
