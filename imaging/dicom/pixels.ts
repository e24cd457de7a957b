/** The voxels of a slice: read, decoded, and brought to whole numbers as the processor knows them. */

import { endianness } from 'node:os'
import dicomParser from 'dicom-parser'
import type { StoredType } from '../../native/voxels.ts'
import { messageOf, PipelineError } from '../../pipeline/errors.ts'
import { withFile } from '../stored-bytes.ts'
import { codecBytes, decodeFrame } from './codecs.ts'
import { inflated } from './header.ts'
import { frameBytes, type Slice, type StoredBits } from './slice.ts'

/** Stored voxels of a frame (y, x), with all their bits in place; multiplied and shifted by nobody yet. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly type: StoredType
  readonly littleEndian: boolean
}

/**
 * The rows from `first` on, `count` of them; all, if left out. ERR_FILE where the file has changed, ends too early or its
 * stream is damaged.
 */
export async function readRows(slice: Slice, first = 0, count = slice.rows): Promise<Frame> {
  const bytes = await storedRows(slice, first, count)
  const { bits, syntax } = slice
  if (bits.stored === bits.allocated) return { bytes, type: typeOf(bits), littleEndian: syntax.littleEndian }
  if (syntax.littleEndian !== machineIsLittleEndian) swapBytes(bytes, bits.allocated)
  dropSpareBits(bytes, bits)
  return { bytes, type: typeOf(bits), littleEndian: machineIsLittleEndian }
}

const machineIsLittleEndian = endianness() === 'LE'

/** Most bytes that `readRows` holds for a whole slice; a library's own memory among them. */
export function readingBytesOf(slice: Slice): number {
  const { syntax, pixels, fingerprint } = slice
  if (syntax.isDeflated) return fingerprint.size + 2 * (pixels.offset + frameBytes(slice))
  if (syntax.codec) return 2 * pixels.bytes + 2 * frameBytes(slice)
  return 2 * frameBytes(slice)
}

/** Of a series' library, once. */
export function libraryBytesOf({ syntax: { codec } }: Slice): number {
  return codec === undefined || codec === 'rle' ? 0 : codecBytes
}

async function storedRows(slice: Slice, first: number, count: number): Promise<Uint8Array> {
  const { path, fingerprint, syntax, pixels } = slice
  const rowBytes = frameBytes(slice) / slice.rows
  if (syntax.isDeflated) {
    const file = await bytesAt(slice, 0, fingerprint.size)
    const from = pixels.offset + first * rowBytes
    return Uint8Array.from(inflatedFrom(file, path).subarray(from, from + count * rowBytes))
  }
  if (!syntax.codec) return bytesAt(slice, pixels.offset + first * rowBytes, count * rowBytes)
  const encapsulated = await bytesAt(slice, pixels.offset, pixels.bytes)
  try {
    const frame = await decodeFrame(syntax.codec, fragmentsOf(encapsulated), slice)
    return first === 0 && count === slice.rows ? frame : frame.slice(first * rowBytes, (first + count) * rowBytes)
  } catch (error) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a frame of ${syntax.name}, found it damaged: ${messageOf(error)}; copy the file again`,
      { path },
      { cause: error },
    )
  }
}

function bytesAt({ path, fingerprint }: Slice, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const source = { path, fingerprint, isCompressed: false, offset, bytes: length }
  return withFile(source, async read => {
    await read(0, bytes)
    return bytes
  })
}

/** The data set of a deflated file whose header was read before, meta header and all. */
function inflatedFrom(file: Uint8Array, path: string): Uint8Array {
  try {
    const meta = dicomParser.readPart10Header(file) as { readonly position?: number } & ReturnType<
      typeof dicomParser.readPart10Header
    >
    return inflated(file, meta.position ?? 0)
  } catch (error) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a deflated data set, found it damaged: ${messageOf(error)}; copy the file again`,
      { path },
      { cause: error },
    )
  }
}

/** The fragments of a frame joined, without the offset table in front (PS3.5 A.4). An Error where they are cut off. */
export function fragmentsOf(encapsulated: Uint8Array): Uint8Array {
  const view = new DataView(encapsulated.buffer, encapsulated.byteOffset, encapsulated.byteLength)
  const fragments: Uint8Array[] = []
  for (let at = 0; ;) {
    if (at + 8 > encapsulated.length) throw new Error('the fragments end in the middle')
    const [group, element, length] = [
      view.getUint16(at, true),
      view.getUint16(at + 2, true),
      view.getUint32(at + 4, true),
    ]
    at += 8
    if (group === 0xfffe && element === 0xe0dd) break
    if (group !== 0xfffe || element !== 0xe000) throw new Error('expected the next fragment, found something else')
    if (at + length > encapsulated.length) throw new Error('the fragments end in the middle')
    fragments.push(encapsulated.subarray(at, at + length))
    at += length
  }
  const [, ...frame] = fragments
  if (frame.length === 0) throw new Error('no fragment holds the frame')
  return frame.length === 1 ? frame[0]! : Buffer.concat(frame)
}

function typeOf({ allocated, isSigned }: StoredBits): StoredType {
  return isSigned ? `int${allocated}` : `uint${allocated}`
}

function swapBytes(bytes: Uint8Array, allocated: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (allocated === 16) buffer.swap16()
  else if (allocated === 32) buffer.swap32()
}

/** Bits beside the value hold overlays or nothing; the sign is the value's highest bit. In the machine's order, in place. */
function dropSpareBits({ buffer, byteOffset, length }: Uint8Array, bits: StoredBits): void {
  const { allocated, stored, highBit, isSigned } = bits
  const left = 31 - highBit
  const right = 32 - stored
  const values =
    allocated === 8
      ? new Uint8Array(buffer, byteOffset, length)
      : allocated === 16
        ? new Uint16Array(buffer, byteOffset, length / 2)
        : new Uint32Array(buffer, byteOffset, length / 4)
  if (isSigned) for (let i = 0; i < values.length; i++) values[i] = (values[i]! << left) >> right
  else for (let i = 0; i < values.length; i++) values[i] = (values[i]! << left) >>> right
}
