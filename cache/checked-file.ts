/**
 * Files of which nothing is believed: bytes, then a JSON head that describes them, and a preamble with the head's place, the
 * file's size and both their checksums. Written to a temporary name and moved when complete. What else lies in the file
 * has checksums in the head, or in a table that has one.
 *
 * There is no fsync: after a power failure a file may be torn, and then its checks say so.
 */

import { constants, rmSync } from 'node:fs'
import { open, rename, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { PipelineError, messageOf } from '../pipeline/errors.ts'
import { fromText, toText, type Json } from './plain-text.ts'

/** Of files and folder; another version's files are never looked at. */
export const formatVersion = 1

/** Writes all bytes at a position. */
export type Write = (file: FileHandle, bytes: Uint8Array, position: number) => Promise<void>

/**
 * The preamble, little-endian: magic, uint32 version, uint32 CRC of the head, uint64 the head's place, uint64 its bytes, uint64
 * the file's bytes, zeros, uint32 CRC of all before.
 */
const preambleBytes = 64
const magic = Buffer.from('ctf-kept')

/** A file that is being written. After a failure it is gone, and so is what it was to replace. */
export interface GrowingFile {
  /** Bytes so far. */
  readonly bytes: number
  /** Where the bytes begin. Several may be under way. */
  append(bytes: Uint8Array): Promise<number>
  /** Writes head and preamble and closes; `publish` moves it to its name. */
  finish(head: Json): Promise<void>
  publish(path: string): Promise<void>
  /** Closes and removes; after `publish` nothing happens. */
  abandon(): Promise<void>
}

export async function growFile(temporary: string, write: Write = writeAll): Promise<GrowingFile> {
  const file = await open(temporary, 'wx')
  let end = preambleBytes
  let state: 'open' | 'closed' | 'gone' = 'open'
  const append = async (bytes: Uint8Array): Promise<number> => {
    const position = end
    end += bytes.length
    await write(file, bytes, position)
    return position
  }
  return {
    get bytes() {
      return end
    },
    append,
    async finish(head) {
      const text = Buffer.from(toText(head))
      const offset = await append(text)
      const preamble = Buffer.alloc(preambleBytes)
      magic.copy(preamble)
      preamble.writeUInt32LE(formatVersion, 8)
      preamble.writeUInt32LE(crc32(text), 12)
      preamble.writeBigUInt64LE(BigInt(offset), 16)
      preamble.writeBigUInt64LE(BigInt(text.length), 24)
      preamble.writeBigUInt64LE(BigInt(end), 32)
      preamble.writeUInt32LE(crc32(preamble.subarray(0, 60)), 60)
      await write(file, preamble, 0)
      state = 'closed'
      // A network's file system may say only now that the disk is full.
      await file.close()
    },
    async publish(path) {
      await rename(temporary, path)
      state = 'gone'
    },
    async abandon() {
      if (state === 'gone') return
      const wasOpen = state === 'open'
      state = 'gone'
      if (wasOpen) await file.close().catch(() => {})
      try {
        rmSync(temporary, { force: true })
      } catch {
        // The folder is gone or has become read-only; whoever opens it next removes what is left.
      }
    },
  }
}

/** A file whose head was read and is right. */
export interface CheckedFile {
  readonly path: string
  readonly bytes: number
  readonly head: Json
  readonly file: FileHandle
  /** Of the head and the preamble. */
  readonly bytesRead: number
  /** Where the head begins: all else lies before. */
  readonly end: number
}

/**
 * Opens a file; undefined where there is none or it cannot be opened. Throws what `isDamaged` knows where it is not what
 * was written.
 */
export async function openChecked(path: string): Promise<CheckedFile | undefined> {
  // A pipe of that name would make whoever opens it wait for ever; files do not care.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch(() => undefined)
  if (!file) return undefined
  try {
    const { size } = await file.stat()
    const preamble = await readBytes(file, 0, preambleBytes, path)
    const expectedCrc = preamble.readUInt32LE(60)
    if (!preamble.subarray(0, 8).equals(magic) || preamble.readUInt32LE(8) !== formatVersion)
      throw damaged(path, 'another magic or version')
    if (crc32(preamble.subarray(0, 60)) !== expectedCrc) throw damaged(path, 'preamble')
    const [offset, length, bytes] = [16, 24, 32].map(at => Number(preamble.readBigUInt64LE(at))) as [
      number,
      number,
      number,
    ]
    if (bytes !== size || offset < preambleBytes || offset + length !== size) throw damaged(path, 'size')
    const text = await readBytes(file, offset, length, path)
    if (crc32(text) !== preamble.readUInt32LE(12)) throw damaged(path, 'head')
    return { path, bytes, head: fromText(text.toString()), file, bytesRead: preambleBytes + length, end: offset }
  } catch (error) {
    await file.close().catch(() => {})
    throw isDamaged(error) ? error : damaged(path, messageOf(error))
  }
}

/** The bytes from `position` on; throws what `isDamaged` knows where the file ends before or cannot be read. */
export async function readBytes(file: FileHandle, position: number, length: number, path: string): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  try {
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled)
      if (bytesRead === 0) throw damaged(path, 'truncated')
      filled += bytesRead
    }
  } catch (error) {
    throw isDamaged(error) ? error : damaged(path, messageOf(error))
  }
  return bytes
}

export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten
  }
}

/** A file that is not what was written, or that was removed (`gone`) meanwhile. Whoever asked computes anew. */
export function damaged(path: string, what: string, gone = false): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: this cache entry is damaged (${what}); it is made anew, but see to the disk if that happens again`,
    { path, damaged: true, gone },
  )
}

/** Whether a cache's file turned out to be damaged: what was wanted of it must be computed anew. */
export function isDamaged(error: unknown): boolean {
  return error instanceof PipelineError && error.facts.damaged === true
}

/** Whether it was only removed, as others do who need the room. */
export function isGone(error: unknown): boolean {
  return isDamaged(error) && (error as PipelineError).facts.gone === true
}
