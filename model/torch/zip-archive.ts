/** The entries of a checkpoint's zip archive, by name, and where their bytes lie. yauzl reads the directory. */

import { crc32 } from 'node:zlib'
import * as yauzl from 'yauzl'
import { codeOf } from '../../pipeline/errors.ts'
import { damaged, type FileBytes } from './file-bytes.ts'

/** Far more than any checkpoint has, and as many as are listed in a third of a second. */
const maxEntries = 20_000

export interface ZipArchive {
  readonly names: readonly string[]
  /** Bytes of an entry as the directory has it; `undefined` where there is none of that name. */
  size(name: string): number | undefined
  /** Where an entry's bytes lie in the file, their checksum compared. ERR_WEIGHTS where it is missing, compressed or outside of the file. */
  locate(name: string): Promise<{ at: number; length: number }>
  /** An entry's bytes, their checksum compared. */
  read(name: string): Promise<Buffer>
}

/** Reads the directory at the end of the file. ERR_WEIGHTS where it is damaged. */
export async function openZip(file: FileBytes): Promise<ZipArchive> {
  const { path } = file
  const entries = new Map<string, yauzl.Entry>()
  let zip: yauzl.ZipFile
  try {
    const options = { autoClose: false, lazyEntries: true, strictFileNames: false }
    zip = await yauzl.fromRandomAccessReaderPromise(new Reader(file), file.size, options)
    if (zip.entryCount <= maxEntries) for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry)
  } catch (cause) {
    if (codeOf(cause) !== undefined) throw cause
    throw damaged(
      path,
      `its zip directory cannot be read (${(cause as Error).message}): truncated, or not a zip archive`,
    )
  }
  if (zip.entryCount > maxEntries)
    throw damaged(path, `expected at most ${maxEntries} entries in its zip archive, found ${zip.entryCount}`)
  // Read one by one, entries that share bytes could take any time.
  const claimed = [...entries.values()].reduce((sum, { compressedSize }) => sum + compressedSize, 0)
  if (claimed > file.size)
    throw damaged(path, `expected the entries of its zip archive to lie apart, found ${claimed} bytes in ${file.size}`)
  const entryOf = (name: string): yauzl.Entry => {
    const entry = entries.get(name)
    if (!entry) throw damaged(path, `expected an entry "${name}" in its zip archive, found none`)
    return entry
  }
  const placeOf = async (name: string): Promise<{ at: number; length: number }> => {
    const entry = entryOf(name)
    if (entry.compressionMethod !== 0 || (entry.generalPurposeBitFlag & 1) !== 0)
      throw damaged(
        path,
        `the entry "${name}" is compressed (method ${entry.compressionMethod}) or encrypted, claiming ${entry.uncompressedSize} bytes; PyTorch stores its entries as they are: save the checkpoint again with torch.save`,
      )
    try {
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true })
      if (entry.compressedSize !== entry.uncompressedSize || fileDataStart + entry.uncompressedSize > file.size)
        throw new Error(`${entry.uncompressedSize} bytes at byte ${fileDataStart} of ${file.size}`)
      return { at: fileDataStart, length: entry.uncompressedSize }
    } catch (cause) {
      throw damaged(path, `the entry "${name}" lies outside of the file (${(cause as Error).message})`)
    }
  }
  const compare = (name: string, found: number): void => {
    const { crc32: expected } = entryOf(name)
    if (found !== expected)
      throw damaged(
        path,
        `the checksum of "${name}" is ${hex(found)}, the directory says ${hex(expected)}: the file is damaged, or was saved with set_crc32_options(False); copy it again, or save it with checksums`,
      )
  }
  return {
    names: [...entries.keys()],
    size: name => entries.get(name)?.uncompressedSize,
    async locate(name) {
      const { at, length } = await placeOf(name)
      let sum = 0
      for (let done = 0; done < length; done += windowBytes)
        sum = crc32(file.read(at + done, Math.min(windowBytes, length - done)), sum)
      compare(name, sum)
      return { at, length }
    },
    async read(name) {
      const { at, length } = await placeOf(name)
      const bytes = file.read(at, length)
      compare(name, crc32(bytes))
      return bytes
    },
  }
}

const windowBytes = 1 << 20

/**
 * Hands yauzl the file's bytes before its call returns: what it makes of a hostile archive then ends in its promise. With a
 * file descriptor it fails in callbacks of its own, where nobody can catch: a zip64 record far beyond 2^53 ended the process.
 */
class Reader extends yauzl.RandomAccessReader {
  readonly #file: FileBytes

  constructor(file: FileBytes) {
    super()
    this.#file = file
  }

  override read(...[buffer, offset, length, position, done]: Parameters<yauzl.RandomAccessReader['read']>): void {
    let bytes: Buffer
    try {
      bytes = this.#file.read(position, length)
    } catch (error) {
      return done(error as Error)
    }
    bytes.copy(buffer, offset)
    done(null)
  }

  override close(done: (error: Error | null) => void): void {
    done(null) // the file is its opener's
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
