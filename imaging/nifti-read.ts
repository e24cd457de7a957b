/** Reading NIfTI files: the header at once, the voxels slab by slab as they are pulled, every byte checked. */

import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import type { Grid, Slab } from '../pipeline/stage.ts'
import { parseHeader, type DatatypeName, type NiftiHeader } from './nifti-header.ts'
import { slabPlanes, voxelCount, type LoadedVolume } from './volume.ts'

/** A NIfTI file of which only the header has been read. */
export interface NiftiImage {
  readonly path: string
  readonly grid: Grid
  readonly header: NiftiHeader
  /** Volumes in the file; `volume` can be pulled only where this is 1. */
  readonly volumes: number
  /** Bytes of the inflated voxels as stored. */
  readonly storedBytes: number
  /** Whether the voxels are gzipped. */
  readonly isCompressed: boolean
  readonly volume: LoadedVolume
}

export interface NiftiReadOptions {
  /** Whether a NaN or infinite voxel is an error (ERR_VOLUME); default true. */
  readonly finite?: boolean
}

/** No deflate stream grows by more than this: 258 bytes from two bits, zlib's documented limit. */
const mostInflation = 1032

/**
 * Opens .nii, .nii.gz or a .hdr/.img(.gz) pair (by either name); compression is recognised by content, not by name.
 * Reads the header only. ERR_FILE: cannot be read, is no NIfTI, or is shorter than its header claims; ERR_VOLUME:
 * header makes no sense. While slabs are pulled: ERR_FILE for a truncated file or a wrong checksum, ERR_VOLUME for
 * voxels that are not finite. Values are raw * scl_slope + scl_inter in float64, rounded to float32.
 */
export async function openNifti(path: string, options: NiftiReadOptions = {}): Promise<NiftiImage> {
  const headerPath = path.replace(/\.img(\.gz)?$/, '.hdr$1')
  const header = parseHeader(await firstBytes(headerPath, 544), headerPath)
  const voxelPath = header.isPair ? await imageOf(headerPath) : headerPath
  const isCompressed = isGzip(await firstRaw(voxelPath, 2))
  const grid: Grid = { shape: header.shape, affine: header.affine }
  const storedBytes = voxelCount(grid) * header.volumes * header.bytesPerVoxel
  const { size } = await stat(voxelPath)
  const available = isCompressed ? size * mostInflation : size
  if (header.offset + storedBytes > available) {
    throw new PipelineError(
      'ERR_FILE',
      `${voxelPath}: expected ${header.offset + storedBytes} bytes (${header.shape.join(' x ')} x ${header.volumes} ${header.datatype} voxels from byte ${header.offset}), found ${isCompressed ? `a gzip file of ${size} bytes, which cannot hold them` : size}; the file is truncated or its header damaged`,
      { path: voxelPath, size, expected: header.offset + storedBytes },
    )
  }
  const image = { path: voxelPath, grid, header, volumes: header.volumes, storedBytes, isCompressed }
  return {
    ...image,
    volume: { grid, header: header.bytes, volumes: header.volumes, slabs: () => pull(image, options.finite ?? true) },
  }
}

type Source = Omit<NiftiImage, 'volume'>

async function* pull(source: Source, finite: boolean): AsyncGenerator<Slab> {
  const { path, grid, header } = source
  if (header.volumes !== 1) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected one 3-D volume, found ${header.volumes} in one file; split it first`,
      { path, volumes: header.volumes },
    )
  }
  const [nx, ny, nz] = grid.shape
  const step = slabPlanes(grid)
  const raw = new Uint8Array(step * ny * nx * header.bytesPerVoxel)
  let z = 0
  for await (const filled of inPieces(source, raw)) {
    const planes = Math.min(step, nz - z)
    if (!header.littleEndian) swapBytes(filled, header.bytesPerVoxel)
    const voxels = decode(filled, header)
    if (finite && mayBeNonFinite(header)) checkFinite(voxels, z, grid, path)
    yield { z, planes, voxels }
    z += planes
  }
}

/**
 * The stored voxels, one buffer's worth at a time, always in the same buffer. Bytes after the last voxel are read too:
 * only at the end does gzip's checksum speak. The last piece is held back until then.
 */
async function* inPieces(source: Source, buffer: Uint8Array): AsyncGenerator<Uint8Array> {
  const { path, header, storedBytes, isCompressed } = source
  const stream = isCompressed
    ? inflated(path)
    : createReadStream(path, { start: header.offset, end: header.offset + storedBytes - 1, highWaterMark: 1 << 20 })
  let skip = isCompressed ? header.offset : 0
  let filled = 0
  let delivered = 0
  const lastPiece = (): boolean => delivered + filled === storedBytes
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      let at = Math.min(skip, chunk.length)
      skip -= at
      while (at < chunk.length && !lastPiece()) {
        const part = chunk.subarray(at, at + Math.min(buffer.length - filled, storedBytes - delivered - filled))
        buffer.set(part, filled)
        filled += part.length
        at += part.length
        if (filled === buffer.length && !lastPiece()) {
          yield buffer
          delivered += filled
          filled = 0
        }
      }
    }
  } catch (error) {
    throw unreadable(path, error)
  } finally {
    stream.destroy()
  }
  if (!lastPiece()) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected ${storedBytes} bytes of voxels, found ${delivered + filled}; the file is truncated`,
      { path, expected: storedBytes, found: delivered + filled },
    )
  }
  yield buffer.subarray(0, filled)
}

/** The inflated file; an error of either stream arrives at the reader, and whoever stops reading closes the file. */
function inflated(path: string): Readable {
  const gunzip = createGunzip({ chunkSize: 1 << 18 })
  pipeline(createReadStream(path, { highWaterMark: 1 << 18 }), gunzip, () => {
    // Reported where the stream is read.
  })
  return gunzip
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (width === 2) buffer.swap16()
  else if (width === 4) buffer.swap32()
  else if (width === 8) buffer.swap64()
}

type NumberArray =
  Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array

/** A new array of the values; `bytes` are in this machine's order and begin at a multiple of 8. */
function decode(bytes: Uint8Array, header: NiftiHeader): Float32Array {
  const raw = rawNumbers(bytes, header.datatype)
  if (header.slope === 1 && header.intercept === 0) return new Float32Array(raw)
  const wide = raw instanceof Float64Array ? raw : new Float64Array(raw)
  const values = new Float32Array(wide.length)
  const { slope, intercept } = header
  for (let i = 0; i < wide.length; i++) values[i] = wide[i]! * slope + intercept
  return values
}

function rawNumbers(bytes: Uint8Array, datatype: DatatypeName): NumberArray {
  const { buffer, byteOffset, byteLength } = bytes
  switch (datatype) {
    case 'uint8':
      return bytes
    case 'int8':
      return new Int8Array(buffer, byteOffset, byteLength)
    case 'int16':
      return new Int16Array(buffer, byteOffset, byteLength / 2)
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, byteLength / 2)
    case 'int32':
      return new Int32Array(buffer, byteOffset, byteLength / 4)
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, byteLength / 4)
    case 'float32':
      return new Float32Array(buffer, byteOffset, byteLength / 4)
    case 'float64':
      return new Float64Array(buffer, byteOffset, byteLength / 8)
    case 'int64':
      return Float64Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number)
    case 'uint64':
      return Float64Array.from(new BigUint64Array(buffer, byteOffset, byteLength / 8), Number)
  }
}

function mayBeNonFinite({ datatype, slope, intercept }: NiftiHeader): boolean {
  return datatype === 'float32' || datatype === 'float64' || Math.abs(slope) > 1e19 || Math.abs(intercept) > 1e37
}

function checkFinite(voxels: Float32Array, z: number, grid: Grid, path: string): void {
  let first = -1
  let count = 0
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i]!
    if (value - value !== 0) {
      if (count++ === 0) first = i
    }
  }
  if (count === 0) return
  const [nx, ny] = grid.shape
  const plane = nx * ny
  const index = [first % nx, Math.floor(first / nx) % ny, z + Math.floor(first / plane)]
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected finite voxels, found ${count} that are NaN or infinite in planes ${z} to ${z + voxels.length / plane - 1}, the first at voxel (${index.join(', ')}); replace them in the source`,
    { path, count, index },
  )
}

/** The first `count` bytes, inflated where the file is gzipped; fewer where the file ends. */
async function firstBytes(path: string, count: number): Promise<Uint8Array> {
  const raw = await firstRaw(path, count)
  if (!isGzip(raw)) return raw
  const bytes = new Uint8Array(count)
  let filled = 0
  const stream = inflated(path)
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      const part = chunk.subarray(0, count - filled)
      bytes.set(part, filled)
      filled += part.length
      if (filled === count) break
    }
  } catch (error) {
    throw unreadable(path, error)
  } finally {
    stream.destroy()
  }
  return bytes.subarray(0, filled)
}

async function firstRaw(path: string, count: number): Promise<Uint8Array> {
  try {
    const file = await open(path)
    try {
      const bytes = new Uint8Array(count)
      let filled = 0
      for (let read = 1; read > 0 && filled < count; filled += read) {
        read = (await file.read(bytes, filled, count - filled, filled)).bytesRead
      }
      return bytes.subarray(0, filled)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** The voxels of a .hdr: the .img beside it, or its gzipped form. */
async function imageOf(headerPath: string): Promise<string> {
  const stem = headerPath.replace(/\.(hdr|nii)(\.gz)?$/, '')
  for (const candidate of [`${stem}.img`, `${stem}.img.gz`]) {
    const found = await stat(candidate).catch(() => undefined)
    if (found?.isFile()) return candidate
  }
  throw new PipelineError(
    'ERR_FILE',
    `${headerPath}: expected its voxels in ${stem}.img or ${stem}.img.gz (its magic says "pair"), found neither; copy the .img beside it`,
    { path: headerPath },
  )
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** What the system or zlib said, in words that help. */
function unreadable(path: string, error: unknown): unknown {
  if (error instanceof PipelineError) return error
  const { code } = error as NodeJS.ErrnoException
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'expected a file, found nothing there; check the path, or whether the file was moved while the run went on',
    EISDIR: 'expected a NIfTI file, found a directory; name the file in it',
    EACCES: 'cannot be read: permission denied; give this user read access',
    EPERM: 'cannot be read: permission denied; give this user read access',
    Z_BUF_ERROR: 'the gzip stream ends in the middle; the file is truncated, copy it again',
    Z_DATA_ERROR: `the gzip stream is damaged (${messageOf(error)}); copy the file again`,
  }
  if (code === undefined) return error
  return new PipelineError(
    'ERR_FILE',
    `${path}: ${reasons[code] ?? `cannot be read: ${messageOf(error)}`}`,
    { path, reason: code },
    { cause: error },
  )
}
