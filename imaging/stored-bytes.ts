/**
 * The bytes of a file's voxels, in pieces or by place, inflated where the file is gzipped. Truncation, wrong checksums,
 * files that change meanwhile and streams that inflate without end are errors.
 */

import { open, stat, type FileHandle } from 'node:fs/promises'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { GunzipFile, gunzipFileBytes } from './gunzip-file.ts'

/** What tells one state of a file from another. */
export interface Fingerprint {
  readonly size: number
  readonly modifiedNs: bigint
}

/** Where the voxels lie, and in which state the file was when its header was read. */
export interface StoredBytes {
  readonly path: string
  readonly isCompressed: boolean
  /** Before the voxels, inflated. */
  readonly offset: number
  /** Of the voxels, inflated. */
  readonly bytes: number
  readonly fingerprint: Fingerprint
}

/** What the disk gives at once where only a header is wanted. */
const firstChunkBytes = 1 << 13

/** At once, of what is inflated and not wanted. */
const scrapBytes = 1 << 16

/**
 * Bytes of a gzip stream behind the last voxel that are inflated for the sake of the checksum. Extensions of the header
 * lie in front, and files of several volumes are refused: what may lie there is padding.
 */
const mostTrailingBytes = 16 << 20

/** ERR_FILE where there is no file, or none that can be read twice: whoever opens a pipe may wait for ever. */
export async function fingerprintOf(path: string): Promise<Fingerprint> {
  try {
    const facts = await stat(path, { bigint: true })
    if (!facts.isFile() && !facts.isDirectory()) {
      throw new PipelineError(
        'ERR_FILE',
        `${path}: expected a NIfTI file, found ${facts.isFIFO() ? 'a pipe' : facts.isSocket() ? 'a socket' : 'a device'}, which cannot be read again; write what comes out of it to a file`,
        { path },
      )
    }
    return { size: Number(facts.size), modifiedNs: facts.mtimeNs }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/**
 * Consecutive pieces of `pieceBytes`, the last one shorter; each is good until the next is asked for. The next piece is
 * read or inflated while the reader works. The last one comes when all has been checked: length, checksum, and that the
 * file is still the one that was opened.
 */
export async function* piecesOf(source: StoredBytes, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const pieces = source.isCompressed ? inflatedPieces(source, pieceBytes) : plainPieces(source, pieceBytes)
  let left = source.bytes
  try {
    for await (const piece of pieces) {
      left -= piece.length
      if (left === 0) await expectUnchanged(source)
      yield piece
    }
  } catch (error) {
    // Whatever is wrong with the bytes of a file that somebody writes to, that is the reason.
    await expectUnchanged(source)
    throw unreadable(source.path, error)
  }
}

/** Most bytes that `piecesOf` holds: the piece and the next one, and what inflates. */
export function readingBytes({ isCompressed }: Pick<StoredBytes, 'isCompressed'>, pieceBytes: number): number {
  return 2 * pieceBytes + (isCompressed ? gunzipFileBytes + scrapBytes : 0)
}

/** Runs `work` with the opened file, which must not be gzipped; ERR_FILE where it has changed by the end. */
export async function withFile<T>(source: StoredBytes, work: (read: ReadAt) => Promise<T>): Promise<T> {
  try {
    const file = await open(source.path)
    try {
      const result = await work((at, to) => readFully(file, source, at, to))
      await expectUnchanged(source)
      return result
    } finally {
      await file.close()
    }
  } catch (error) {
    await expectUnchanged(source)
    throw unreadable(source.path, error)
  }
}

/** Fills `to` with the bytes from `at` on, counted from the first voxel. */
export type ReadAt = (at: number, to: Uint8Array) => Promise<void>

async function readFully(file: FileHandle, source: StoredBytes, at: number, to: Uint8Array): Promise<void> {
  for (let filled = 0; filled < to.length;) {
    const { bytesRead } = await file.read(to, filled, to.length - filled, source.offset + at + filled)
    if (bytesRead === 0) throw truncated(source, at + filled)
    filled += bytesRead
  }
}

async function* plainPieces(source: StoredBytes, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const file = await open(source.path)
  try {
    yield* readAhead(source, pieceBytes, (at, to) => readFully(file, source, at, to))
  } finally {
    await file.close()
  }
}

async function* inflatedPieces(source: StoredBytes, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const file = await GunzipFile.open(source.path)
  const scrap = new Uint8Array(scrapBytes)
  try {
    yield* readAhead(source, pieceBytes, async (at, to) => {
      if (at === 0) await skip(file, source, scrap)
      const filled = await file.readInto(to)
      if (filled < to.length) throw truncated(source, at + filled)
      // Before the last piece is given, gzip's checksum must have spoken.
      if (at + to.length === source.bytes) await expectEnd(file, source, scrap)
    })
  } finally {
    await file.close()
  }
}

/** Calls `read` for one piece after the other, in two buffers. When it is left, nothing is being read. */
async function* readAhead(source: StoredBytes, pieceBytes: number, read: ReadAt): AsyncGenerator<Uint8Array> {
  const buffers = [new Uint8Array(pieceBytes), new Uint8Array(source.bytes > pieceBytes ? pieceBytes : 0)]
  const next = async (at: number): Promise<Uint8Array> => {
    const piece = buffers[(at / pieceBytes) % 2]!.subarray(0, Math.min(pieceBytes, source.bytes - at))
    await read(at, piece)
    return piece
  }
  let reading = next(0)
  try {
    for (let at = 0; at < source.bytes; at += pieceBytes) {
      const piece = await reading
      if (at + pieceBytes < source.bytes) {
        reading = next(at + pieceBytes)
        reading.catch(() => {}) // told where it is awaited
      }
      yield piece
    }
  } finally {
    await reading.catch(() => {})
  }
}

async function skip(file: GunzipFile, source: StoredBytes, scrap: Uint8Array): Promise<void> {
  for (let left = source.offset; left > 0; left -= scrap.length) {
    const part = scrap.subarray(0, Math.min(left, scrap.length))
    if ((await file.readInto(part)) < part.length) throw truncated(source, 0)
  }
}

async function expectEnd(file: GunzipFile, source: StoredBytes, scrap: Uint8Array): Promise<void> {
  for (let trailing = 0, found = scrap.length; found === scrap.length; trailing += found) {
    if (trailing > mostTrailingBytes) throw endless(source)
    found = await file.readInto(scrap)
  }
}

/** The first `count` bytes, inflated where the file is gzipped; fewer where the file ends. */
export async function firstBytes(path: string, count: number): Promise<Uint8Array> {
  const raw = await firstRawBytes(path, count)
  if (!isGzip(raw)) return raw
  try {
    const file = await GunzipFile.open(path, firstChunkBytes)
    try {
      const bytes = new Uint8Array(count)
      return bytes.subarray(0, await file.readInto(bytes))
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** As they are on the disk. */
export async function firstRawBytes(path: string, count: number): Promise<Uint8Array> {
  try {
    const file = await open(path)
    try {
      const bytes = new Uint8Array(count)
      let filled = 0
      for (let read = 1; read > 0 && filled < count; filled += read) {
        read = (await file.read(bytes, filled, count - filled, filled)).bytesRead
      }
      return bytes.subarray(0, filled)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

async function expectUnchanged({ path, fingerprint }: StoredBytes): Promise<void> {
  const now = await fingerprintOf(path)
  if (now.size === fingerprint.size && now.modifiedNs === fingerprint.modifiedNs) return
  throw new PipelineError(
    'ERR_FILE',
    `${path}: has changed while it was being read: expected ${dated(fingerprint)} as when it was opened, found ${dated(now)}; let whatever writes it end, then run again`,
    { path, reason: 'changed', size: fingerprint.size, found: now.size },
  )
}

function dated({ size, modifiedNs }: Fingerprint): string {
  return `${size} bytes of ${new Date(Number(modifiedNs / 1_000_000n)).toISOString()}`
}

function truncated({ path, bytes }: StoredBytes, found: number): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: expected ${bytes} bytes of voxels, found ${found}; the file is truncated`,
    { path, expected: bytes, found },
  )
}

function endless({ path, bytes }: StoredBytes): PipelineError {
  return new PipelineError(
    'ERR_FILE',
    `${path}: expected the file to end with its ${bytes} bytes of voxels, found more than ${mostTrailingBytes} bytes behind them and stopped inflating; its header is damaged, or the file is not what it says`,
    { path, expected: bytes },
  )
}

/** What the system or zlib said, in words that help. */
export function unreadable(path: string, error: unknown): unknown {
  if (error instanceof PipelineError) return error
  const { code } = error as NodeJS.ErrnoException
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'expected a file, found nothing there; check the path, or whether the file was moved while the run went on',
    EISDIR: 'expected a NIfTI file, found a directory; name the file in it',
    EACCES: 'cannot be read: permission denied; give this user read access',
    EPERM: 'cannot be read: permission denied; give this user read access',
    Z_BUF_ERROR: 'the gzip stream ends in the middle; the file is truncated, copy it again',
    Z_DATA_ERROR: `the gzip stream is damaged (${messageOf(error)}); copy the file again`,
  }
  if (code === undefined) return error
  return new PipelineError(
    'ERR_FILE',
    `${path}: ${reasons[code] ?? `cannot be read: ${messageOf(error)}`}`,
    { path, reason: code },
    { cause: error },
  )
}
