/** Decoding compressed frames, each to little-endian voxels as they were stored. */

import type { CodecOptions, Codecs, FrameDecoder } from '@cornerstonejs/codec-openjpeg/decodewasmjs'
import lossless from 'jpeg-lossless-decoder-js'
import { messageOf } from '../../pipeline/errors.ts'
import { jpeg2000Info, jpegInfo, type FrameInfo } from './frame-info.ts'
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
      expectShape(jpegInfo(encoded, [0xc3]), shape)
      return widened(decodeLossless(encoded, shape), 0, shape)
    default: {
      const { library, infoOf } = libraries[codec]
      const info = infoOf(encoded)
      expectShape(info, shape)
      return widened(await library.decode(encoded), info.isSigned ? info.bitsPerSample : 0, shape)
    }
  }
}

type Create = (options: CodecOptions) => Promise<Codecs>

type DecoderName = 'J2KDecoder' | 'JpegLSDecoder' | 'JPEGDecoder'

/** One library, made when it is first needed, and anew after it has failed: nobody knows in which state it then is. */
export class Library {
  readonly #create: Create
  readonly #name: DecoderName
  #codecs: Promise<Codecs> | undefined
  /** Frames are decoded at once, one by one: what is said meanwhile is about this one. */
  #errors: string[] = []

  constructor(create: Create, name: DecoderName) {
    this.#create = create
    this.#name = name
  }

  async decode(encoded: Uint8Array): Promise<Uint8Array> {
    const codecs = await this.#library()
    this.#errors = []
    let decoder: FrameDecoder | undefined
    try {
      decoder = new codecs[this.#name]()
      decoder.getEncodedBuffer(encoded.length).set(encoded)
      decoder.decode()
      this.#expectNoErrors()
      return Uint8Array.from(decoder.getDecodedBuffer())
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

  #library(): Promise<Codecs> {
    if (this.#codecs) return this.#codecs
    const made = this.#create({ print: this.#listen, printErr: this.#listen })
    made.catch(() => {
      if (this.#codecs === made) this.#codecs = undefined
    })
    this.#codecs = made
    return made
  }

  /** OpenJPEG does not throw: it says so, and leaves the voxels as they were. */
  #expectNoErrors(): void {
    if (this.#errors.length > 0) throw new Error(this.#errors.join('; '))
  }

  readonly #listen = (line: string): void => {
    if (!line.startsWith('[INFO]')) this.#errors.push(line.trim())
  }
}

// Loaded when they are needed: all programs would wait 0.2 s for what few do.
const createJpeg2000: Create = async options =>
  (await import('@cornerstonejs/codec-openjpeg/decodewasmjs')).default(options)
const createJpegLs: Create = async options =>
  (await import('@cornerstonejs/codec-charls/decodewasmjs')).default(options)
const createJpeg: Create = async options =>
  (await import('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs')).default(options)

const libraries = {
  'jpeg-2000': { library: new Library(createJpeg2000, 'J2KDecoder'), infoOf: jpeg2000Info },
  'jpeg-ls': {
    library: new Library(createJpegLs, 'JpegLSDecoder'),
    infoOf: (encoded: Uint8Array) => jpegInfo(encoded, [0xf7]),
  },
  jpeg: {
    library: new Library(createJpeg, 'JPEGDecoder'),
    infoOf: (encoded: Uint8Array) => jpegInfo(encoded, [0xc0, 0xc1, 0xc2]),
  },
}

function wordsOf(thrown: unknown, { getExceptionMessage }: Codecs): string {
  if (typeof thrown !== 'number' || !getExceptionMessage) return messageOf(thrown)
  return [getExceptionMessage(thrown)].flat().filter(Boolean).join(': ')
}

function decodeLossless(encoded: Uint8Array, shape: FrameShape): Uint8Array {
  const { bits, rows, columns } = shape
  // Its decoder wants a buffer to itself.
  const { buffer } = Uint8Array.from(encoded)
  const decoded = new lossless.Decoder().decode(buffer, 0, buffer.byteLength, Math.min(2, bits.allocated / 8))
  if (decoded === null || decoded.length !== rows * columns)
    throw new Error(`expected ${rows * columns} voxels, found ${decoded?.length ?? 'none'}`)
  return new Uint8Array(decoded.buffer, decoded.byteOffset, decoded.byteLength)
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
