/** What was derived from a case's volumes, in a file beside its entry: bytes in blocks, each with a CRC-32. */

import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Annex } from '../pipeline/flow.ts'
import { damaged, openChecked, readBytes, type GrowingFile } from './checked-file.ts'
import type { Json } from './plain-text.ts'

/** Bytes that are read and checked at a time. */
const block = 4096

/** Bytes in memory as an annex. */
export function annexOf(bytes: Uint8Array): Annex {
  return {
    bytes: bytes.length,
    async read(offset, length) {
      expectInside(bytes.length, offset, length)
      return bytes.slice(offset, offset + length)
    },
  }
}

/** Writes the bytes and closes the file; it is the caller's to publish or to abandon. */
export async function writeAnnex(file: GrowingFile, key: string, name: string, bytes: Uint8Array): Promise<void> {
  const crcs = Uint32Array.from({ length: Math.ceil(bytes.length / block) }, (_, i) =>
    crc32(bytes.subarray(i * block, (i + 1) * block)),
  )
  const offset = await file.append(bytes)
  await file.finish({ kind: 'annex', key, name, offset, bytes: bytes.length, crcs: new Uint8Array(crcs.buffer) })
}

/**
 * An annex whose head was read; undefined where there is none. Each read opens the file anew, so there is nothing to close.
 * Throws, and rejects on reading, what `isDamaged` knows where the file is not what was written or is gone. `onRead` counts
 * bytes, checks included.
 */
export async function openAnnex(
  path: string,
  key: string,
  name: string,
  onRead: (bytes: number) => void,
): Promise<Annex | undefined> {
  const checked = await openChecked(path)
  if (!checked) return undefined
  onRead(checked.bytesRead)
  await checked.file.close().catch(() => {})
  const head = parseHead(checked.head, checked.end)
  if (!head || head.key !== key || head.name !== name) throw damaged(path, 'head')
  return {
    bytes: head.bytes,
    async read(offset, length) {
      expectInside(head.bytes, offset, length)
      const first = Math.floor(offset / block)
      const start = first * block
      const end = Math.min(head.bytes, Math.ceil((offset + length) / block) * block)
      const bytes = await readPart(path, head.offset + start, Math.max(0, end - start))
      onRead(bytes.length)
      for (let at = 0; at < bytes.length; at += block) {
        if (crc32(bytes.subarray(at, at + block)) !== head.crcs[first + at / block]) throw damaged(path, 'annex')
      }
      return new Uint8Array(bytes.subarray(offset - start, offset - start + length))
    },
  }
}

async function readPart(path: string, position: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) throw damaged(path, 'it is gone', true)
  try {
    return await readBytes(file, position, length, path)
  } finally {
    await file.close().catch(() => {})
  }
}

interface AnnexHead {
  readonly key: string
  readonly name: string
  readonly offset: number
  readonly bytes: number
  readonly crcs: Uint32Array
}

function parseHead(json: Json, end: number): AnnexHead | undefined {
  if (typeof json !== 'object' || json === null) return undefined
  const { kind, key, name, offset, bytes, crcs } = json as { readonly [name: string]: Json | undefined }
  if (kind !== 'annex' || typeof key !== 'string' || typeof name !== 'string') return undefined
  const isPlace = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes)
  if (!isPlace || (offset as number) < 0 || (bytes as number) < 0 || (offset as number) + (bytes as number) > end)
    return undefined
  if (!(crcs instanceof Uint8Array) || crcs.length !== 4 * Math.ceil((bytes as number) / block)) return undefined
  return { key, name, offset: offset as number, bytes: bytes as number, crcs: new Uint32Array(crcs.slice().buffer) }
}

function expectInside(bytes: number, offset: number, length: number): void {
  const fits = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0
  if (!fits || offset + length > bytes)
    throw new RangeError(`expected a part of ${bytes} bytes, found ${length} from ${offset}`)
}
