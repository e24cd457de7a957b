/**
 * PyTorch's checkpoint files as data: the zip archive that torch.save writes since 1.6, and the run of pickles before it.
 * Nothing in the file is executed; what is not data is refused by name. Layouts: torch/serialization.py.
 */

import { decoders } from '../dtypes.ts'
import { ByteCursor, damaged, FileBytes } from './file-bytes.ts'
import { storageDtype, torchGlobals } from './globals.ts'
import { kindOf, shown, unpickle, type PyValue } from './pickle.ts'
import type { Storage } from './tensors.ts'
import { openZip, type ZipArchive } from './zip-archive.ts'

/** An open checkpoint: storages are read from the file as tensors are materialised. Whoever opens it closes it. */
export interface TorchFile {
  readonly path: string
  readonly format: 'zip' | 'legacy'
  /** Bytes of the file. */
  readonly size: number
  /** What torch.load would give: dicts as Map, tensors as TorchTensor. */
  readonly value: PyValue
  close(): void
}

/** Opens a checkpoint and reads its structure, no weights yet. ERR_WEIGHTS says what the file is where it is none. */
export async function openTorch(path: string): Promise<TorchFile> {
  const file = new FileBytes(path)
  try {
    const head = file.read(0, Math.min(file.size, 512))
    const isZip = head.subarray(0, 4).equals(Buffer.from('PK\x03\x04', 'latin1'))
    if (!isZip && !isLegacy(head))
      throw damaged(path, `expected a zip archive or PyTorch's pickles, found ${nameOf(head)}`)
    const value = isZip ? await readZip(file) : readLegacy(file)
    return { path, format: isZip ? 'zip' : 'legacy', size: file.size, value, close: () => file.close() }
  } catch (error) {
    file.close()
    throw error
  }
}

async function readZip(file: FileBytes): Promise<PyValue> {
  const { path } = file
  const zip = await openZip(file)
  const pickle = zip.names.find(name => name.endsWith('/data.pkl'))
  if (pickle === undefined) {
    const found = zip.names.slice(0, 5).join(', ')
    throw damaged(path, `expected an entry ".../data.pkl" in its zip archive, found ${found || 'no entries'}`)
  }
  const root = pickle.slice(0, -'data.pkl'.length)
  if (zip.names.some(name => name.startsWith(`${root}code/`)) || zip.size(`${root}constants.pkl`) !== undefined)
    throw damaged(
      path,
      'it is a TorchScript archive, a program with its weights; load it in PyTorch and save the weights alone: torch.save(torch.jit.load(path).state_dict(), "weights.pt")',
    )
  const isBig = zip.size(`${root}byteorder`) === 3 && (await zip.read(`${root}byteorder`)).toString() === 'big'
  const { at, length } = await zip.locate(pickle)
  const storages = new Map<string, Storage>()
  return unpickle(new ByteCursor(file, at, at + length), {
    globals: torchGlobals(path),
    persistent(id) {
      const { key, type, count } = storageId(path, id)
      const known = storages.get(key)
      if (known) return known
      const dtype = storageDtype(path, type)
      const byteLength = count * (dtype === undefined ? 1 : decoders[dtype].bytes)
      const name = `${root}data/${key}`
      const held = zip.size(name)
      if (held === undefined || held < byteLength)
        throw damaged(
          path,
          `storage ${key} should have ${byteLength} bytes, found ${held === undefined ? 'no such entry' : held}`,
        )
      const stored = { read: () => readStorage(zip, name, dtype, isBig) }
      const storage: Storage = { key, dtype, byteLength, stored, begin: 0 }
      storages.set(key, storage)
      return storage
    },
  })
}

async function readStorage(
  zip: ZipArchive,
  name: string,
  dtype: Storage['dtype'],
  isBig: boolean,
): Promise<Uint8Array> {
  const bytes = await zip.read(name)
  return isBig ? swapped(bytes, dtype) : bytes
}

/** Where its bytes lie is known when all pickles are read; -1 until then. */
interface LegacyStorage extends Storage {
  at: number
}

/** Pickles one after the other: magic number, protocol, system, the object, the storages' keys; then the storages. */
function readLegacy(file: FileBytes): PyValue {
  const { path } = file
  const cursor = new ByteCursor(file)
  const plain = { globals: {}, persistent: () => notHere(path) }
  unpickle(cursor, plain) // the magic number, seen before
  const protocol = unpickle(cursor, plain)
  if (protocol !== 1001) throw damaged(path, `expected protocol 1001, found ${shown(protocol)}`)
  const system = unpickle(cursor, plain)
  const isBig = system instanceof Map && system.get('little_endian') === false
  const storages = new Map<string, LegacyStorage>()
  const value = unpickle(cursor, {
    globals: torchGlobals(path),
    persistent(id) {
      const { key, type, count, view } = storageId(path, id)
      const dtype = storageDtype(path, type)
      const width = dtype === undefined ? 1 : decoders[dtype].bytes
      let root = storages.get(key)
      if (!root) {
        const stored = { read: async () => bytesOf(fresh) }
        const fresh: LegacyStorage = { key, dtype, byteLength: count * width, at: -1, stored, begin: 0 }
        storages.set(key, (root = fresh))
      }
      if (!view) return root
      const [begin, end] = [view.offset * width, (view.offset + view.count) * width]
      if (end > root.byteLength)
        throw damaged(path, `a view of storage ${key} ends at byte ${end} of ${root.byteLength}`)
      return { ...root, key: `${key} (a view)`, dtype, byteLength: end - begin, begin } satisfies Storage
    },
  })
  const bytesOf = ({ at, byteLength, dtype }: LegacyStorage): Uint8Array => {
    const bytes = file.read(at, byteLength)
    return isBig ? swapped(bytes, dtype) : bytes
  }
  const keys = unpickle(cursor, plain)
  if (!Array.isArray(keys)) throw damaged(path, `expected the list of its storages, found ${kindOf(keys)}`)
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined
    if (!storage) throw damaged(path, `storage ${shown(key)} belongs to no tensor`)
    const width = storage.dtype === undefined ? 1 : decoders[storage.dtype].bytes
    const count = cursor.take(8)
    const held = Number(isBig ? count.readBigInt64BE() : count.readBigInt64LE()) * width
    storage.at = cursor.position
    if (held !== storage.byteLength)
      throw damaged(path, `storage ${storage.key} should have ${storage.byteLength} bytes, found ${held}`)
    if (storage.at + held > file.size)
      throw damaged(path, `storage ${storage.key} needs ${held} bytes at byte ${storage.at} of ${file.size}: truncated`)
    cursor.skip(held)
  }
  const unread = [...storages.values()].find(({ at }) => at < 0)
  if (unread) throw damaged(path, `storage ${unread.key} is not in the file`)
  return value
}

interface StorageId {
  readonly key: string
  readonly type: PyValue
  readonly count: number
  /** Only in old files: part of another storage, in values. */
  readonly view?: { readonly offset: number; readonly count: number }
}

/** ('storage', type, key, location, count[, (view key, offset, count)]); where it was, such as "cuda:0", is no matter. */
function storageId(path: string, id: PyValue): StorageId {
  const [tag, type, key, , count, view] = Array.isArray(id) ? (id as PyValue[]) : []
  if (tag !== 'storage' || typeof key !== 'string' || !isCount(count))
    throw damaged(path, `expected the id of a storage with a key and a number of values, found ${kindOf(id)}`)
  if (view === undefined || view === null) return { key, type, count }
  const [, offset, length] = Array.isArray(view) ? (view as PyValue[]) : []
  if (!isCount(offset) || !isCount(length))
    throw damaged(path, `expected a view of storage ${key}, found ${kindOf(view)}`)
  return { key, type, count, view: { offset, count: length } }
}

function isCount(value: PyValue): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function notHere(path: string): never {
  throw damaged(path, 'a tensor where none may be')
}

function swapped(bytes: Buffer, dtype: Storage['dtype']): Buffer {
  const width = dtype === undefined ? 1 : decoders[dtype].bytes
  if (width === 2) return bytes.swap16()
  if (width === 4) return bytes.swap32()
  return width === 8 ? bytes.swap64() : bytes
}

/** The magic number 0x1950a86a20f9469cfc6c as a pickle of protocol 2 or later; since protocol 4 a frame is around it. */
function isLegacy(head: Buffer): boolean {
  const at = head[2] === 0x95 ? 11 : 2
  return head[0] === 0x80 && head.indexOf(Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex')) === at
}

/** What a file is that is no checkpoint, as far as its first bytes tell. */
function nameOf(head: Buffer): string {
  if (head.length === 0) return 'an empty file'
  if (
    head.toString('latin1', 257, 262) === 'ustar' ||
    /^(storages|tensors|pickle)\0/.test(head.toString('latin1', 0, 9))
  )
    return 'a tar archive, the format before PyTorch 0.1.10; load it there and save it again'
  if (head[0] === 0x80) return 'a pickle that torch.save did not write'
  if (head.toString('latin1', 0, 8) === '\x89HDF\r\n\x1a\n') return 'an HDF5 file'
  if (head.toString('latin1', 0, 2) === '\x1f\x8b') return 'a gzip file; unpack it first'
  return `the bytes ${head.subarray(0, 8).toString('hex')}`
}
