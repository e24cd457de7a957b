/** Decoding compressed frames, each to little-endian voxels as they were stored. */

import createJpeg from '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs'
import createJpegLs from '@cornerstonejs/codec-charls/decodewasmjs'
import createJpeg2000 from '@cornerstonejs/codec-openjpeg/decodewasmjs'
import type { CodecOptions, Codecs, FrameDecoder, FrameInfo } from '@cornerstonejs/codec-openjpeg/decodewasmjs'
import lossless from 'jpeg-lossless-decoder-js'
import { messageOf } from '../../pipeline/errors.ts'
import { decodeRle } from './rle.ts'
import type { StoredBits } from './slice.ts'
import type { Codec } from './syntax.ts'

/** What a frame must turn out to be. */
export interface FrameShape {
  readonly rows: number
  readonly columns: number
  readonly bits: StoredBits
}

/** What a library takes beside the frame and its voxels: the heap with which each starts. */
export const codecBytes = 64 << 20

/** The voxels of a frame. An Error where it is damaged or is not of this shape. */
export async function decodeFrame(codec: Codec, encoded: Uint8Array, shape: FrameShape): Promise<Uint8Array> {
  const bytesPerVoxel = shape.bits.allocated / 8
  switch (codec) {
    case 'rle':
      return decodeRle(encoded, shape.rows * shape.columns, bytesPerVoxel)
    case 'jpeg-lossless':
      return widened(decodeLossless(encoded, shape), 0, shape)
    default: {
      const { voxels, info } = await libraries[codec].decode(encoded, shape)
      return widened(voxels, info.isSigned ? info.bitsPerSample : 0, shape)
    }
  }
}

/** One library, made when it is first needed, and anew after it has failed: nobody knows in which state it then is. */
class Library {
  readonly #create: (options: CodecOptions) => Promise<Codecs>
  readonly #name: 'J2KDecoder' | 'JpegLSDecoder' | 'JPEGDecoder'
  #codecs: Promise<Codecs> | undefined
  /** Frames are decoded at once, one by one: what is said meanwhile is about this one. */
  #errors: string[] = []

  constructor(create: (options: CodecOptions) => Promise<Codecs>, name: Library['name']) {
    this.#create = create
    this.#name = name
  }

  get name(): 'J2KDecoder' | 'JpegLSDecoder' | 'JPEGDecoder' {
    return this.#name
  }

  async decode(encoded: Uint8Array, shape: FrameShape): Promise<{ voxels: Uint8Array; info: FrameInfo }> {
    const codecs = await (this.#codecs ??= this.#create({ print: this.#listen, printErr: this.#listen }))
    this.#errors = []
    let decoder: FrameDecoder | undefined
    try {
      decoder = new codecs[this.#name]()
      decoder.getEncodedBuffer(encoded.length).set(encoded)
      // The header first: whoever believes a damaged one asks for any amount of memory.
      decoder.readHeader()
      const info = decoder.getFrameInfo()
      this.#expectNoErrors()
      expectShape(info, shape)
      decoder.decode()
      this.#expectNoErrors()
      return { voxels: Uint8Array.from(decoder.getDecodedBuffer()), info }
    } catch (error) {
      this.#codecs = undefined
      throw error instanceof Error ? error : new Error(wordsOf(error, codecs))
    } finally {
      try {
        decoder?.delete()
      } catch {
        // It has failed already, and its memory goes with it.
      }
    }
  }

  /** OpenJPEG does not throw: it says so, and leaves the voxels as they were. */
  #expectNoErrors(): void {
    if (this.#errors.length > 0) throw new Error(this.#errors.join('; '))
  }

  readonly #listen = (line: string): void => {
    if (!/^\[INFO\]/.test(line)) this.#errors.push(line.trim())
  }
}

const libraries = {
  'jpeg-2000': new Library(createJpeg2000, 'J2KDecoder'),
  'jpeg-ls': new Library(createJpegLs, 'JpegLSDecoder'),
  jpeg: new Library(createJpeg, 'JPEGDecoder'),
}

function wordsOf(thrown: unknown, { getExceptionMessage }: Codecs): string {
  if (typeof thrown !== 'number' || !getExceptionMessage) return messageOf(thrown)
  return [getExceptionMessage(thrown)].flat().filter(Boolean).join(': ')
}

function decodeLossless(encoded: Uint8Array, shape: FrameShape): Uint8Array {
  const { bits, rows, columns } = shape
  expectShape(losslessFrame(encoded), shape)
  // Its decoder wants the buffer to itself.
  const { buffer } = encoded.slice()
  const decoded = new lossless.Decoder().decode(buffer, 0, buffer.byteLength, Math.min(2, bits.allocated / 8))
  if (decoded === null || decoded.length !== rows * columns)
    throw new Error(`expected ${rows * columns} voxels, found ${decoded?.length ?? 'none'}`)
  return new Uint8Array(decoded.buffer, decoded.byteOffset, decoded.byteLength)
}

/** The frame header of a JPEG stream (ISO 10918-1, B.2.2), read before its extents are believed. */
function losslessFrame(encoded: Uint8Array): FrameInfo {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  for (let at = 2; at + 10 <= encoded.length;) {
    if (encoded[at] !== 0xff) break
    const marker = encoded[at + 1]!
    if (marker === 0xff) at++
    else if (marker === 0xc3) {
      return {
        bitsPerSample: encoded[at + 4]!,
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        componentCount: encoded[at + 9]!,
      }
    } else at += 2 + view.getUint16(at + 2)
  }
  throw new Error('expected a lossless JPEG (SOF3), found none')
}

function expectShape({ width, height, componentCount, bitsPerSample }: FrameInfo, shape: FrameShape): void {
  const { rows, columns, bits } = shape
  if (width === columns && height === rows && componentCount === 1 && bitsPerSample <= bits.allocated) return
  throw new Error(
    `expected ${columns} x ${rows} voxels of one value of at most ${bits.allocated} bits, found ${width} x ${height} of ${componentCount}, ${bitsPerSample} bits`,
  )
}

/**
 * Voxels in as many bytes as are allocated: streams of up to 8 bits come in one byte each. `signedBits` of a signed stream
 * tell where its sign is.
 */
function widened(voxels: Uint8Array, signedBits: number, { rows, columns, bits }: FrameShape): Uint8Array {
  const count = rows * columns
  const bytesPerVoxel = bits.allocated / 8
  if (voxels.length === count * bytesPerVoxel) return voxels
  const found = voxels.length / count
  if (found !== 1 && found !== 2)
    throw new Error(`expected ${count * bytesPerVoxel} bytes of voxels, found ${voxels.length}`)
  if (found > bytesPerVoxel) throw new Error(`expected ${bytesPerVoxel} bytes a voxel, found ${found}`)
  const wide = new Uint8Array(count * bytesPerVoxel)
  for (let i = 0; i < count; i++) {
    for (let b = 0; b < found; b++) wide[i * bytesPerVoxel + b] = voxels[i * found + b]!
    const isNegative = signedBits > 0 && (voxels[i * found + found - 1]! & 0x80) !== 0
    if (isNegative) wide.fill(0xff, i * bytesPerVoxel + found, (i + 1) * bytesPerVoxel)
  }
  return wide
}
