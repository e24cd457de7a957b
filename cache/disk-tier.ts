/**
 * Cases in a folder that several processes share: one file each, and one for each annex. Nothing of it is ever worth an
 * error: what cannot be read is a miss, and what cannot be written is not kept.
 *
 * Files of each version of the format lie in a folder of their own, `v1`; those of other versions are neither read nor
 * counted nor removed.
 */

import { rmSync } from 'node:fs'
import { stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { formatBytes } from '../pipeline/bytes.ts'
import { messageOf } from '../pipeline/errors.ts'
import { makeFolder } from '../pipeline/make-folder.ts'
import type { Annex } from '../pipeline/flow.ts'
import { annexOf, openAnnex, writeAnnex } from './annex-file.ts'
import { formatVersion, growFile, isDamaged, isGone, type GrowingFile, type Write } from './checked-file.ts'
import { Room, temporaryName, type RoomOptions, type Verdict } from './disk-room.ts'
import { EntryWriter } from './disk-writer.ts'
import { openEntry, type Entry } from './entry.ts'
import { nameOf } from './key.ts'

export interface DiskTierOptions extends RoomOptions {
  readonly folder: string
  /** Told once when nothing more can be written, and why. */
  readonly tell: (message: string) => void
  /** How bytes are written, where they are to be written otherwise. */
  readonly write?: Write
}

/** What entries read, they say themselves. */
export interface DiskCounts {
  /** Of complete files. */
  readonly bytesWritten: number
  readonly annexBytesRead: number
  /** Files that were not what had been written. */
  readonly damaged: number
  /** Entries that had to go for others. */
  readonly evicted: number
}

/** Whether a folder has an entry of a key, as far as names tell; nothing is written or checked. */
export async function hasEntry(folder: string, key: string): Promise<boolean> {
  const found = await stat(join(folder, `v${formatVersion}`, entryFile(key))).catch(() => undefined)
  return found?.isFile() ?? false
}

/** Looks at the folder and removes what killed processes have left. Never rejects. */
export async function openDiskTier(options: DiskTierOptions): Promise<DiskTier> {
  const tier = new DiskTier(options)
  await tier.prepare()
  return tier
}

export class DiskTier {
  readonly #options: DiskTierOptions
  readonly #folder: string
  readonly #room: Room
  #isReadable = true
  #isWritable = true
  #told = false
  #damagedEntries = 0
  #bytesWritten = 0
  #annexBytesRead = 0

  constructor(options: DiskTierOptions) {
    this.#options = options
    this.#folder = join(options.folder, `v${formatVersion}`)
    this.#room = new Room(this.#folder, options)
  }

  /** False after the disk was full, or where the folder may not be written. */
  get isWritable(): boolean {
    return this.#isWritable
  }

  /** So far, by this process. */
  get counts(): DiskCounts {
    return {
      bytesWritten: this.#bytesWritten,
      annexBytesRead: this.#annexBytesRead,
      damaged: this.#damagedEntries,
      evicted: this.#room.evictedEntries,
    }
  }

  async prepare(): Promise<void> {
    try {
      makeFolder(this.#folder)
      await this.#room.look()
    } catch (error) {
      this.#isReadable = false
      this.#stopWriting(error)
    }
  }

  /** The entry of a key, open; undefined where there is none that can be trusted. The caller closes it. */
  async get(key: string): Promise<Entry | undefined> {
    const path = join(this.#folder, entryFile(key))
    const entry = await this.#trusted(path, () => openEntry(path, key, () => this.#discard(path)))
    if (!entry) return undefined
    // For whoever evicts, here and in other processes; a folder that may not be written is not worth a word.
    this.#room.noteUse(nameOf(key))
    const now = new Date()
    await utimes(path, now, now).catch(() => {})
    return entry
  }

  /**
   * Begins an entry of about `expectedBytes`; undefined where it would not be kept: others are wanted sooner, it is larger
   * than the limit, nothing can be written. Whoever begins must commit or abandon.
   */
  async create(key: string, expectedBytes: number): Promise<EntryWriter | undefined> {
    const name = entryFile(key)
    const file = await this.#begin(name, expectedBytes)
    if (!file) return undefined
    return new EntryWriter(file, key, {
      publish: () => this.#publish(file, name),
      open: () => this.get(key),
      stop: error => this.#stopWriting(error),
    })
  }

  /**
   * What was derived from the case and is kept beside its entry; `make` runs where it is not there, and again where reading finds
   * it damaged or gone. `name` says what it is and with which options it was made.
   */
  async annex(key: string, name: string, make: () => Promise<Uint8Array>): Promise<Annex> {
    const path = join(this.#folder, annexFile(key, name))
    const open = (): Promise<Annex | undefined> =>
      this.#trusted(path, () => openAnnex(path, key, name, bytes => (this.#annexBytesRead += bytes)))
    let kept = await open()
    if (!kept) {
      const bytes = await make()
      kept = (await this.#writeAnnex(key, name, bytes)) ? await open() : undefined
      if (!kept) return annexOf(bytes)
    }
    return this.#mended(kept, path, make)
  }

  #mended(kept: Annex, path: string, make: () => Promise<Uint8Array>): Annex {
    let anew: Promise<Annex> | undefined
    return {
      bytes: kept.bytes,
      read: async (offset, length) => {
        if (anew) return (await anew).read(offset, length)
        try {
          return await kept.read(offset, length)
        } catch (error) {
          if (!isDamaged(error)) throw error
          if (!isGone(error)) this.#discard(path)
          return (await (anew ??= make().then(annexOf))).read(offset, length)
        }
      },
    }
  }

  /** Undefined instead of damage, which is removed. */
  async #trusted<T>(path: string, open: () => Promise<T | undefined>): Promise<T | undefined> {
    if (!this.#isReadable) return undefined
    try {
      return await open()
    } catch (error) {
      if (!isDamaged(error)) throw error
      this.#discard(path)
      return undefined
    }
  }

  async #writeAnnex(key: string, name: string, bytes: Uint8Array): Promise<boolean> {
    const file = await this.#begin(annexFile(key, name), bytes.length)
    if (!file) return false
    try {
      await writeAnnex(file, key, name, bytes)
      return await this.#publish(file, annexFile(key, name))
    } catch (error) {
      this.#stopWriting(error)
      return false
    } finally {
      await file.abandon()
    }
  }

  async #begin(name: string, expectedBytes: number): Promise<GrowingFile | undefined> {
    if (!this.#isWritable) return undefined
    try {
      if (!this.#isAdmitted(await this.#room.admits(name, expectedBytes))) return undefined
      return await growFile(join(this.#folder, temporaryName(name.slice(0, 64))), this.#options.write)
    } catch (error) {
      this.#stopWriting(error)
      return undefined
    }
  }

  /** Moves a finished file to its name if there is room for it. */
  async #publish(file: GrowingFile, name: string): Promise<boolean> {
    if (!this.#isAdmitted(await this.#room.makeRoom(name, file.bytes))) return false
    try {
      await file.publish(join(this.#folder, name))
    } catch (error) {
      // Another process took the file for a dead one's: it is only not kept.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    this.#bytesWritten += file.bytes
    return true
  }

  #isAdmitted(verdict: Verdict): boolean {
    const { keepFreeBytes } = this.#options
    const isShort = `less than ${formatBytes(keepFreeBytes)} of the disk would stay free`
    if (verdict === 'disk') this.#tellOnce(keepFreeBytes > 0 ? isShort : reasons.ENOSPC!)
    return verdict === 'fits'
  }

  /** Another process may have put a good file there meanwhile: that costs a miss. */
  #discard(path: string): void {
    this.#damagedEntries += 1
    try {
      rmSync(path, { force: true })
    } catch {
      // A folder that may not be written: the next reader will see the damage too.
    }
  }

  /** For errors of the system; others are bugs. */
  #stopWriting(error: unknown): void {
    const { code = '', syscall } = error as NodeJS.ErrnoException
    if (syscall === undefined) throw error
    // Too many open files: that passes.
    if (code === 'EMFILE' || code === 'ENFILE') return
    this.#isWritable = false
    this.#tellOnce(reasons[code] ?? messageOf(error))
  }

  #tellOnce(why: string): void {
    if (this.#told) return
    this.#told = true
    this.#options.tell(
      `${this.#options.folder}: the cache on disk keeps nothing more: ${why}; the run goes on without, only slower`,
    )
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'a file of that name is in the way',
  ENOENT: 'the folder is gone',
}

function entryFile(key: string): string {
  return `${nameOf(key)}.entry`
}

function annexFile(key: string, name: string): string {
  return `${nameOf(key)}.${nameOf(name).slice(0, 16)}.annex`
}
