/**
 * The safetensors format: eight bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the
 * values, raw and little-endian. Reading believes nothing: a file that lies is refused before anything is allocated for
 * what it claims. https://github.com/huggingface/safetensors#format
 */

import { open, type FileHandle } from 'node:fs/promises'
import { PipelineError } from '../pipeline/errors.ts'
import type { Tensors } from '../pipeline/engine.ts'
import { decoders, isDtype, isExactInFloat32, littleEndian, type Dtype } from './dtypes.ts'
import { sizeOf, type Shapes } from './parameters.ts'
import { writeWhole } from './write-whole.ts'

/** Text by name, stored beside the tensors. */
export type Metadata = Readonly<Record<string, string>>

export interface SafetensorsFile {
  readonly tensors: Tensors
  readonly metadata: Metadata
  /** Names of the tensors whose format float32 cannot hold: their values are rounded. */
  readonly rounded: readonly string[]
}

interface Entry {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/** The format's own limit for the header. */
const maxHeaderBytes = 100_000_000

/**
 * Reads all tensors as float32, from any format of model/dtypes.ts. ERR_WEIGHTS names the file and what is wrong with it.
 * `check` may throw before any values are read.
 */
export async function readSafetensors(
  path: string,
  check: (outline: { readonly tensors: Shapes; readonly metadata: Metadata }) => void = () => {},
): Promise<SafetensorsFile> {
  let file: FileHandle
  try {
    file = await open(path)
  } catch (cause) {
    const message = `${path}: cannot be opened (${(cause as Error).message}); give the path of a .safetensors file`
    throw new PipelineError('ERR_WEIGHTS', message, { path }, { cause })
  }
  try {
    const { size } = await file.stat()
    const headerBytes = await headerLength(file, size, path)
    const header = parseHeader(await readExactly(file, 8, headerBytes, path), path)
    const data = 8 + headerBytes
    const entries = checkedEntries(header, size - data, path)
    const metadata = metadataOf(header, path)
    check({ tensors: new Map(entries.map(entry => [entry.name, entry])), metadata })
    const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>()
    for (const { name, dtype, shape, begin, end } of entries) {
      const bytes = await readExactly(file, data + begin, end - begin, path)
      tensors.set(name, { shape, data: decoders[dtype].decode(bytes) })
    }
    const rounded = entries.filter(({ dtype }) => !isExactInFloat32(dtype)).map(({ name }) => name)
    return { tensors, metadata, rounded }
  } finally {
    await file.close()
  }
}

/** Writes all tensors as F32, to a file beside `path` that then takes its place: the old file or the new, never a half. */
export async function writeSafetensors(path: string, tensors: Tensors, metadata: Metadata = {}): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let at = 0
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, (at += data.byteLength)] }
  }
  const text = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]) // so that the values are aligned
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))

  await writeWhole(path, [length, padded, ...[...tensors.values()].map(({ data }) => littleEndian(data))])
}

async function headerLength(file: FileHandle, size: number, path: string): Promise<number> {
  if (size < 8) throw damaged(path, `expected at least 8 bytes, found ${size}`)
  const length = (await readExactly(file, 0, 8, path)).readBigUInt64LE()
  if (length > BigInt(Math.min(size - 8, maxHeaderBytes))) {
    throw damaged(path, `expected a header within the file's ${size} bytes, found a header length of ${length}`)
  }
  return Number(length)
}

function parseHeader(bytes: Buffer, path: string): Readonly<Record<string, unknown>> {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw damaged(path, `expected a JSON header, found something else: ${(cause as Error).message}`)
  }
  if (!isRecord(header)) throw damaged(path, 'expected the header to be an object of tensors')
  return header
}

function metadataOf(header: Readonly<Record<string, unknown>>, path: string): Metadata {
  const metadata = Object.hasOwn(header, '__metadata__') ? header['__metadata__'] : {}
  if (!isRecord(metadata) || !Object.values(metadata).every(value => typeof value === 'string')) {
    throw damaged(path, 'expected __metadata__ to be an object of strings')
  }
  return metadata as Metadata
}

/** All entries, checked one by one and together: they must cover the file's data exactly, without overlap or gap. */
function checkedEntries(header: Readonly<Record<string, unknown>>, dataBytes: number, path: string): Entry[] {
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => checkedEntry(name, entry, dataBytes, path))
  let covered = 0
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) throw damaged(path, `tensor "${name}" begins at byte ${begin}, inside the one before it`)
    if (begin > covered) throw damaged(path, `bytes ${covered} to ${begin} belong to no tensor`)
    covered = end
  }
  if (covered !== dataBytes) throw damaged(path, `expected ${covered} bytes of values, found ${dataBytes}`)
  return entries
}

function checkedEntry(name: string, entry: unknown, dataBytes: number, path: string): Entry {
  if (!isRecord(entry)) throw damaged(path, `tensor "${name}": expected an object`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (!isDtype(dtype)) {
    const known = Object.keys(decoders).join(', ')
    throw damaged(path, `tensor "${name}": expected one of ${known} as dtype, found ${JSON.stringify(dtype)}`)
  }
  if (!isCounts(shape))
    throw damaged(path, `tensor "${name}": expected a list of extents, found ${JSON.stringify(shape)}`)
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]! || offsets[1]! > dataBytes) {
    throw damaged(
      path,
      `tensor "${name}": expected offsets within ${dataBytes} bytes, found ${JSON.stringify(offsets)}`,
    )
  }
  const [begin, end] = offsets as [number, number]
  const bytes = sizeOf(shape) * decoders[dtype].bytes
  if (bytes !== end - begin) {
    throw damaged(
      path,
      `tensor "${name}": a shape of ${JSON.stringify(shape)} takes ${bytes} bytes, found ${end - begin}`,
    )
  }
  return { name, dtype, shape, begin, end }
}

async function readExactly(file: FileHandle, position: number, length: number, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done)
    if (bytesRead === 0) throw damaged(path, `ended at byte ${position + done} while it was read`)
    done += bytesRead
  }
  return buffer
}

function damaged(path: string, what: string): PipelineError {
  return new PipelineError('ERR_WEIGHTS', `${path}: not a sound safetensors file: ${what}`, { path })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(extent => Number.isSafeInteger(extent) && extent >= 0)
}
