/** Writing NIfTI files: atomically, streaming, the same bytes for the same voxels. */

import { randomUUID } from 'node:crypto'
import { createWriteStream, type WriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { PipelineError } from '../pipeline/errors.ts'
import { makeFolder } from '../pipeline/make-folder.ts'
import { notWritable } from '../pipeline/not-writable.ts'
import type { Grid } from '../pipeline/grid.ts'
import { blocksAhead, gzipped } from './gzip.ts'
import { determinant, nearestRotation, spacingOf } from './affine.ts'
import { layoutOf, rawGeometry, recognise, type RawGeometry } from './nifti-header.ts'

/** Voxels (z, y, x), x fastest, in the type they are stored as. */
export type StoredVoxels = Uint8Array | Int16Array | Float32Array

export interface NiftiContent {
  readonly grid: Grid
  /** All voxels, or consecutive pieces of them (any lengths, one type); pieces are read as they are written. */
  readonly voxels: StoredVoxels | AsyncIterable<StoredVoxels>
  /**
   * Header bytes (348 or 540) of the scan that the voxels belong to: its dimensions, pixdims, qform, sform, codes and
   * units are taken over bit for bit, so that viewers put the mask exactly upon the scan. Without it the grid's affine
   * becomes both sform and qform, code 1.
   */
  readonly geometryFrom?: Uint8Array
}

export interface NiftiWriteOptions {
  /** zlib's level for .gz, 1 (fast) to 9 (small); default 4. */
  readonly level?: number
  /** Up to 79 ASCII characters for the header's `descrip`. */
  readonly description?: string
  /**
   * A new file that takes the bytes instead and stays there, for the caller to rename to `path` together with others. `path`
   * then only tells whether to compress, and is what messages name.
   */
  readonly into?: string
}

/**
 * Writes `path` (.nii or .nii.gz) with its folder. The file appears whole or not at all: bytes go to a temporary file
 * beside it, flushed and then renamed. ERR_OUTPUT where the disk refuses, ERR_GEOMETRY where voxels, grid and
 * `geometryFrom` disagree; errors of the pieces' source pass unchanged. A piece is copied before the next is asked for.
 */
export async function writeNifti(path: string, content: NiftiContent, options: NiftiWriteOptions = {}): Promise<void> {
  const { pieces, datatype } = await firstOf(content.voxels, path)
  const header = encodeHeader(content, datatype, options.description ?? 'ctflow', path)
  const isCompressed = path.endsWith('.gz')
  const bytes = inBlocks(header, pieces, content.grid, { path, memories: isCompressed ? blocksAhead : Infinity })
  const temporary = options.into ?? join(dirname(path), `.${randomUUID()}.part`)
  let failedUpstream: unknown
  let file: WriteStream | undefined
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* bytes
    } catch (error) {
      failedUpstream = error
      throw error
    }
  }
  try {
    if (options.into === undefined) makeFolder(dirname(path))
    file = createWriteStream(temporary, { flush: true, flags: 'wx' })
    if (isCompressed) await pipeline(gzipped(source(), options.level ?? 4), file)
    else await pipeline(source, file)
    if (options.into === undefined) await rename(temporary, path)
  } catch (error) {
    // One that is still being opened would be there after it was removed.
    if (file && !file.closed) await new Promise<void>(resolve => void file!.destroy().once('close', () => resolve()))
    // What stopped the writing is what the user must hear, even where the rest cannot be removed either.
    await rm(temporary, { force: true }).catch(() => undefined)
    if (failedUpstream !== undefined) throw failedUpstream
    throw notWritable(path, error)
  }
}

/** The same as the bytes of a .nii.gz file, for what is small. ERR_GEOMETRY as `writeNifti`; `name` is for messages. */
export async function niftiBytes(
  name: string,
  content: NiftiContent,
  { level = 4, description = 'ctflow' }: Omit<NiftiWriteOptions, 'into'> = {},
): Promise<Uint8Array> {
  const { pieces, datatype } = await firstOf(content.voxels, name)
  const header = encodeHeader(content, datatype, description, name)
  const parts: Uint8Array[] = []
  for await (const part of gzipped(
    inBlocks(header, pieces, content.grid, { path: name, memories: blocksAhead }),
    level,
  ))
    parts.push(part)
  return Buffer.concat(parts)
}

/** The type is known from the first piece; it is put back in front of the others. */
async function firstOf(
  voxels: StoredVoxels | AsyncIterable<StoredVoxels>,
  path: string,
): Promise<{ pieces: AsyncIterable<StoredVoxels> | Iterable<StoredVoxels>; datatype: number }> {
  if (ArrayBuffer.isView(voxels)) return { pieces: [voxels], datatype: datatypeOf(voxels) }
  const iterator = voxels[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (first.done) throw new PipelineError('ERR_GEOMETRY', `${path}: expected voxels to write, found none`, { path })
  const pieces = async function* (): AsyncGenerator<StoredVoxels> {
    try {
      for (let next: IteratorResult<StoredVoxels> = first; !next.done; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  return { pieces: pieces(), datatype: datatypeOf(first.value) }
}

function datatypeOf(voxels: StoredVoxels): number {
  return voxels instanceof Uint8Array ? 2 : voxels instanceof Int16Array ? 4 : 16
}

/**
 * Header and voxels in blocks of 1 MiB however the pieces were cut, because deflate's output depends on the cuts of its
 * input. Checks that the pieces hold as many voxels as the grid. A block's memory is used again after `memories` blocks.
 */
async function* inBlocks(
  header: Uint8Array,
  pieces: AsyncIterable<StoredVoxels> | Iterable<StoredVoxels>,
  grid: Grid,
  { path, memories }: { readonly path: string; readonly memories: number },
): AsyncGenerator<Uint8Array> {
  const expected = grid.shape[0] * grid.shape[1] * grid.shape[2]
  const blockSize = 1 << 20
  const blocks: Uint8Array[] = []
  const next = (): Uint8Array => {
    const free = blocks.length < memories ? new Uint8Array(blockSize) : blocks.shift()!
    if (memories < Infinity) blocks.push(free)
    return free
  }
  let block = next()
  block.set(header)
  let filled = header.length
  let written = 0
  for await (const piece of pieces) {
    written += piece.length
    if (written > expected) break
    const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + blockSize - filled)
      block.set(part, filled)
      filled += part.length
      at += part.length
      if (filled === blockSize) {
        yield block
        block = next()
        filled = 0
      }
    }
  }
  if (written !== expected) {
    throw new PipelineError(
      'ERR_GEOMETRY',
      `${path}: expected ${expected} voxels for a ${grid.shape.join(' x ')} grid, found ${written > expected ? 'more' : written}`,
      { path },
    )
  }
  if (filled > 0) yield block.subarray(0, filled)
}

/**
 * Header, little-endian, with the four empty extension bytes after it; NIfTI-1 where the grid fits. `datatype` is NIfTI's
 * code, `path` for messages.
 */
export function encodeHeader(
  { grid, geometryFrom }: Pick<NiftiContent, 'grid' | 'geometryFrom'>,
  datatype: number,
  description: string,
  path: string,
): Uint8Array {
  const source = geometryFrom && recognise(geometryFrom)
  const geometry = geometryFrom && source ? rawGeometry(geometryFrom) : freshGeometry(grid)
  const [x, y, z] = grid.shape
  const [rank, dx, dy, dz, ...rest] = geometry.dims as [number, number, number, number, ...number[]]
  if (dx !== x || dy !== y || dz !== z || rest.slice(0, rank - 3).some(n => n !== 1)) {
    throw new PipelineError(
      'ERR_GEOMETRY',
      `${path}: expected the grid of the scan, ${geometry.dims.slice(1, rank + 1).join(' x ')}, found ${grid.shape.join(' x ')}`,
      { path },
    )
  }
  const version = source?.version ?? (Math.max(x, y, z) > 32767 ? 2 : 1)
  const at = layoutOf(version)
  const bytes = new Uint8Array(at.size + 4)
  const view = new DataView(bytes.buffer)
  const bits = datatype === 2 ? 8 : datatype === 4 ? 16 : 32
  const float = (offset: number, index: number, value: number): void =>
    version === 1 ? view.setFloat32(offset + index * 4, value, true) : view.setFloat64(offset + index * 8, value, true)
  const short = (offset: number, index: number, value: number): void =>
    version === 1 ? view.setInt16(offset + index * 2, value, true) : view.setInt32(offset + index * 4, value, true)

  view.setInt32(0, at.size, true)
  const magic = version === 1 ? [0x6e, 0x2b, 0x31, 0] : [0x6e, 0x2b, 0x32, 0, 0x0d, 0x0a, 0x1a, 0x0a]
  bytes.set(magic, at.magic)
  view.setInt16(at.datatype, datatype, true)
  view.setInt16(at.datatype + 2, bits, true)
  for (let i = 0; i < 8; i++) {
    if (version === 1) view.setInt16(at.dim + i * 2, geometry.dims[i]!, true)
    else view.setBigInt64(at.dim + i * 8, BigInt(geometry.dims[i]!), true)
    float(at.pixdim, i, geometry.pixdims[i]!)
  }
  if (version === 1) view.setFloat32(at.offset, at.size + 4, true)
  else view.setBigInt64(at.offset, BigInt(at.size + 4), true)
  float(at.slope, 0, 1)
  float(at.slope, 1, 0)
  if (version === 1) view.setUint8(at.units, geometry.units)
  else view.setInt32(at.units, geometry.units, true)
  bytes.set(new TextEncoder().encode(description).subarray(0, 79), at.description)
  short(at.codes, 0, geometry.qformCode)
  short(at.codes, 1, geometry.sformCode)
  for (let i = 0; i < 6; i++) float(at.quatern, i, geometry.quatern[i]!)
  for (let i = 0; i < 12; i++) float(at.srow, i, geometry.srow[i]!)
  return bytes
}

/** A grid as NIfTI fields: sform exact (to the width of the field), qform the nearest rotation. */
function freshGeometry(grid: Grid): RawGeometry {
  const { affine, shape } = grid
  const spacing = spacingOf(affine)
  const mirrored = determinant(affine) < 0
  const rotation = nearestRotation(affine)
  if (mirrored) for (const i of [2, 5, 8]) rotation[i] = -rotation[i]!
  return {
    dims: [3, ...shape, 1, 1, 1, 1],
    pixdims: [mirrored ? -1 : 1, ...spacing, 1, 1, 1, 1],
    quatern: [...quaternion(rotation), affine[3]!, affine[7]!, affine[11]!],
    srow: affine.slice(0, 12),
    qformCode: 1,
    sformCode: 1,
    units: 2,
  }
}

/** b, c, d of the unit quaternion (a >= 0) of a proper rotation, row-major 3x3; as in nifti1_io.c. */
function quaternion(r: readonly number[]): [number, number, number] {
  const [r11, r12, r13, r21, r22, r23, r31, r32, r33] = r as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const trace = r11 + r22 + r33 + 1
  if (trace > 0.5) {
    const a = Math.sqrt(trace) / 2
    return [(r32 - r23) / (4 * a), (r13 - r31) / (4 * a), (r21 - r12) / (4 * a)]
  }
  // Near half a turn a is small: start from the largest of b, c, d instead.
  const [xd, yd, zd] = [1 + r11 - (r22 + r33), 1 + r22 - (r11 + r33), 1 + r33 - (r11 + r22)]
  let [a, b, c, d] = [0, 0, 0, 0]
  if (xd > 1) {
    b = Math.sqrt(xd) / 2
    ;[c, d, a] = [(r12 + r21) / (4 * b), (r13 + r31) / (4 * b), (r32 - r23) / (4 * b)]
  } else if (yd > 1) {
    c = Math.sqrt(yd) / 2
    ;[b, d, a] = [(r12 + r21) / (4 * c), (r23 + r32) / (4 * c), (r13 - r31) / (4 * c)]
  } else {
    d = Math.sqrt(zd) / 2
    ;[b, c, a] = [(r13 + r31) / (4 * d), (r23 + r32) / (4 * d), (r21 - r12) / (4 * d)]
  }
  return a < 0 ? [-b, -c, -d] : [b, c, d]
}
