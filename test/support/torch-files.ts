/** Checkpoints made by hand, whole and hostile: raw pickles in zip archives and in the legacy layout. */

import { writeFileSync } from 'node:fs'
import { Call, Name, PersistentId, pickle, Tuple, type Pickled } from '../../model/torch/pickle-writer.ts'
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
  { protocol = 2 } = {},
): string {
  const system = new Map<Pickled, Pickled>([
    ['protocol_version', 1001],
    ['little_endian', true],
  ])
  const frame = protocol < 4 ? '' : bytesOf('\x95', 13, '\0\0\0\0\0\0\0')
  const magic = bytesOf('\x80', protocol, frame, '\x8a\x0a', Buffer.from('6cfc9c46f9206aa85019', 'hex'), '.')
  const stored = Object.values(storages).flatMap(({ count, bytes }) => {
    const length = Buffer.alloc(8)
    length.writeBigInt64LE(BigInt(count))
    return [length, Buffer.from(bytes)]
  })
  writeFileSync(path, bytesOf(magic, pickle(1001), pickle(system), data, pickle(Object.keys(storages)), ...stored))
  return path
}

export interface View {
  readonly type?: string
  readonly key?: string
  readonly count: number
  readonly offset?: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  /** Only in the legacy layout: [key, offset, count]. */
  readonly view?: readonly [string, number, number]
}

/** A tensor as torch pickles it. */
export function tensor({ type = 'FloatStorage', key = '0', count, offset = 0, shape, strides, view }: View): Call {
  const where = view ? [new Tuple(...view)] : []
  const id = new PersistentId(new Tuple('storage', new Name('torch', type), key, 'cuda:0', count, ...where))
  const hooks = new Call(new Name('collections', 'OrderedDict'), new Tuple())
  return new Call(
    new Name('torch._utils', '_rebuild_tensor_v2'),
    new Tuple(id, offset, new Tuple(...shape), new Tuple(...strides), false, hooks),
  )
}

/** A Python dict. */
export const dict = (...entries: [Pickled, Pickled][]): Map<Pickled, Pickled> => new Map(entries)

/** The bytes of float32 values. */
export function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}
