/** Checkpoints made by hand, whole and hostile: raw pickles in zip archives and in the legacy layout. */

import { writeFileSync } from 'node:fs'
import { pickle, type Pickled } from '../../model/torch/pickle-writer.ts'
import { zipChunks, type ZipEntry } from '../../model/torch/zip-writer.ts'

/** Bytes of text (latin1), numbers as bytes, and buffers, in a row. */
export function bytesOf(...parts: readonly (string | number | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.map(part =>
      typeof part === 'string' ? Buffer.from(part, 'latin1') : typeof part === 'number' ? Buffer.of(part) : part,
    ),
  )
}

/** A pickle of protocol 2 from opcodes. */
export function rawPickle(...parts: readonly (string | number | Buffer)[]): Buffer {
  return bytesOf('\x80\x02', ...parts)
}

/** A zip archive as torch.save lays it out. */
export function zipFile(
  path: string,
  data: Buffer,
  storages: Readonly<Record<string, Uint8Array>> = {},
  more: readonly ZipEntry[] = [],
): string {
  const entries = [
    { name: 'archive/data.pkl', bytes: data },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes })),
    ...more,
    { name: 'archive/version', bytes: Buffer.from('3\n') },
  ]
  writeFileSync(path, Buffer.concat([...zipChunks(entries)]))
  return path
}

/** The legacy layout: magic number, protocol, system, object, keys, then each storage with its count of values. */
export function legacyFile(
  path: string,
  data: Buffer,
  storages: Readonly<Record<string, { count: number; bytes: Uint8Array }>> = {},
): string {
  const system = new Map<Pickled, Pickled>([
    ['protocol_version', 1001],
    ['little_endian', true],
  ])
  const magic = bytesOf('\x80\x02\x8a\x0a', Buffer.from('6cfc9c46f9206aa85019', 'hex'), '.')
  const stored = Object.values(storages).flatMap(({ count, bytes }) => {
    const length = Buffer.alloc(8)
    length.writeBigInt64LE(BigInt(count))
    return [length, Buffer.from(bytes)]
  })
  writeFileSync(path, bytesOf(magic, pickle(1001), pickle(system), data, pickle(Object.keys(storages)), ...stored))
  return path
}

/** The bytes of float32 values. */
export function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}
