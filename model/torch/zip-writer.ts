/**
 * A zip archive as torch.save writes it: entries stored as they are, each entry's bytes at a multiple of 64, so that
 * torch.load(mmap=True) gets aligned tensors. Libraries that write zip archives cannot place entries.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import { crc32 } from 'node:zlib'
import { PipelineError } from '../../pipeline/errors.ts'

export interface ZipEntry {
  readonly name: string
  readonly bytes: Uint8Array
}

const alignment = 64
/** Extra field "FB", as PyTorch names its padding. */
const paddingId = 0x4246
/** Beyond it the format needs its 64-bit extension. */
const maxBytes = 2 ** 32 - 2 ** 20
/** 1 January 1980, the format's first day: same tensors, same bytes. */
const date = 0x0021

/** The archive in chunks. ERR_WEIGHTS where it would pass 4 GiB. */
export function* zipChunks(entries: readonly ZipEntry[]): Generator<Uint8Array> {
  const total = entries.reduce((sum, { bytes }) => sum + bytes.length + 512, 0)
  if (total > maxBytes)
    throw new PipelineError(
      'ERR_WEIGHTS',
      `${total} bytes of tensors are too many for a .pt file here; write .safetensors`,
    )
  const directory: Buffer[] = []
  let at = 0
  for (const { name, bytes } of entries) {
    const path = Buffer.from(name)
    const sum = crc32(bytes)
    const used = at + 30 + path.length + 4
    const padding = (alignment - (used % alignment)) % alignment
    const local = Buffer.alloc(30 + path.length + 4 + padding)
    local.writeUInt32LE(0x04034b50, 0)
    common(local, 4, sum, bytes.length, path.length)
    local.writeUInt16LE(4 + padding, 28)
    path.copy(local, 30)
    local.writeUInt16LE(paddingId, 30 + path.length)
    local.writeUInt16LE(padding, 32 + path.length)
    const central = Buffer.alloc(46 + path.length)
    central.writeUInt32LE(0x02014b50, 0)
    central.writeUInt16LE(20, 4) // made by version 2.0
    common(central, 6, sum, bytes.length, path.length)
    central.writeUInt32LE(at, 42)
    path.copy(central, 46)
    directory.push(central)
    yield local
    yield bytes
    at += local.length + bytes.length
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(size, 12)
  end.writeUInt32LE(at, 16)
  yield* directory
  yield end
}

/** The fields that a local header and an entry of the directory share, from `at`: version needed to the name's length. */
function common(header: Buffer, at: number, sum: number, size: number, nameLength: number): void {
  header.writeUInt16LE(20, at)
  header.writeUInt16LE(0x0800, at + 2) // names are UTF-8
  header.writeUInt16LE(0, at + 4) // stored
  header.writeUInt16LE(0, at + 6)
  header.writeUInt16LE(date, at + 8)
  header.writeUInt32LE(sum, at + 10)
  header.writeUInt32LE(size, at + 14)
  header.writeUInt32LE(size, at + 18)
  header.writeUInt16LE(nameLength, at + 22)
}
