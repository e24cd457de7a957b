/** Reading NIfTI files: the header at once, the voxels slab by slab as they are pulled or by region, every byte checked. */

import { stat } from 'node:fs/promises'
import { decode } from '../native/voxels.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Shape3, Slab } from '../pipeline/grid.ts'
import { croppedGrid, cropVoxels } from './crop.ts'
import { parseHeader, type NiftiHeader } from './nifti-header.ts'
import {
  fingerprintOf,
  firstBytes,
  firstRawBytes,
  isGzip,
  piecesOf,
  readingBytes,
  withFile,
  type StoredBytes,
} from './stored-bytes.ts'
import { SlabMemory, slabBytes, slabPlanes, voxelCount, type LoadedVolume } from './volume.ts'

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
  /** Most bytes that are at work while the volume is pulled, beside the slabs that the reader holds. */
  readonly pullingBytes: number
  readonly volume: LoadedVolume
}

export interface NiftiReadOptions {
  /** Whether a NaN or infinite voxel is an error (ERR_VOLUME); default true. */
  readonly finite?: boolean
}

/** No deflate stream grows by more than this: 258 bytes from two bits, zlib's documented limit. */
const mostInflation = 1032

/** Voxels of a plane: beyond any scanner's, and still one piece of memory. */
const mostInPlane = 2 ** 29

/**
 * Opens .nii, .nii.gz or a .hdr/.img(.gz) pair (by either name); compression is recognised by content, not by name.
 * Reads the header only. ERR_FILE: cannot be read, is no NIfTI, or is shorter than its header claims; ERR_VOLUME:
 * header makes no sense. While slabs are pulled: ERR_FILE for a truncated file, a wrong checksum or a file that has
 * changed since it was opened, ERR_VOLUME for voxels that are not finite. Values are raw * scl_slope + scl_inter in
 * float64, rounded to float32. What is not gzipped can be had by region, and only what is asked for is read.
 */
export async function openNifti(path: string, options: NiftiReadOptions = {}): Promise<NiftiImage> {
  const headerPath = path.replace(/\.img(\.gz)?$/, '.hdr$1')
  // Before anything is read: a change from then on is noticed.
  const before = await fingerprintOf(headerPath)
  const header = parseHeader(await firstBytes(headerPath, 544), headerPath)
  const voxelPath = header.isPair ? await imageOf(headerPath) : headerPath
  const fingerprint = header.isPair ? await fingerprintOf(voxelPath) : before
  const isCompressed = isGzip(await firstRawBytes(voxelPath, 2))
  const grid: Grid = { shape: header.shape, affine: header.affine }
  const storedBytes = voxelCount(grid) * header.volumes * header.bytesPerVoxel
  const { size } = fingerprint
  const available = isCompressed ? size * mostInflation : size
  if (header.offset + storedBytes > available) {
    throw new PipelineError(
      'ERR_FILE',
      `${voxelPath}: expected ${header.offset + storedBytes} bytes (${header.shape.join(' x ')} x ${header.volumes} ${header.datatype} voxels from byte ${header.offset}), found ${isCompressed ? `a gzip file of ${size} bytes, which cannot hold them` : size}; the file is truncated or its header damaged`,
      { path: voxelPath, size, expected: header.offset + storedBytes },
    )
  }
  if (header.shape[0] * header.shape[1] > mostInPlane) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${voxelPath}: expected planes of at most ${mostInPlane} voxels, found ${header.shape[0]} x ${header.shape[1]}; is the order of the axes right?`,
      { path: voxelPath, shape: header.shape },
    )
  }
  const bytes = { path: voxelPath, isCompressed, offset: header.offset, bytes: storedBytes, fingerprint }
  const source: Source = { grid, header, bytes, finite: options.finite ?? true }
  return {
    path: voxelPath,
    grid,
    header,
    volumes: header.volumes,
    storedBytes,
    isCompressed,
    pullingBytes: readingBytes(bytes, pieceBytes(source)),
    volume: {
      grid,
      header: header.bytes,
      volumes: header.volumes,
      slabs: () => pull(source),
      ...(!isCompressed && { region: (start: Shape3, shape: Shape3) => regionOf(source, start, shape) }),
    },
  }
}

interface Source {
  readonly grid: Grid
  readonly header: NiftiHeader
  readonly bytes: StoredBytes
  readonly finite: boolean
}

/** Stored bytes of a slab. */
function pieceBytes({ grid, header }: Source): number {
  return (slabBytes(grid) / 4) * header.bytesPerVoxel
}

async function* pull(source: Source): AsyncGenerator<Slab> {
  const { grid, header, bytes } = source
  expectOneVolume(source)
  const plane = grid.shape[0] * grid.shape[1]
  const step = slabPlanes(grid)
  const memory = new SlabMemory()
  let z = 0
  for await (const raw of piecesOf(bytes, pieceBytes(source))) {
    const planes = Math.min(step, grid.shape[2] - z)
    const slab = memory.slab(z, planes, planes * plane)
    const { count } = await decode(raw, slab.voxels, encodingOf(header))
    if (count > 0 && source.finite) refuseNonFinite(slab.voxels, source, [0, 0, z], [...grid.shape])
    yield slab
    z += planes
  }
}

/** Planes of the box one after the other, of each the rows from the first to the last one in the box. */
async function regionOf(source: Source, start: Shape3, shape: Shape3): Promise<Float32Array> {
  const { grid, header, bytes } = source
  expectOneVolume(source)
  croppedGrid(grid, { start, shape })
  const [nx, ny] = grid.shape
  const voxels = new Float32Array(shape[0] * shape[1] * shape[2])
  const rows: Shape3 = [nx, shape[1], 1]
  const raw = new Uint8Array(nx * shape[1] * header.bytesPerVoxel)
  const isWhole = shape[0] === nx
  const wide = isWhole ? undefined : new Float32Array(nx * shape[1])
  const plane = shape[0] * shape[1]
  let found = 0
  await withFile(bytes, async read => {
    for (let z = 0; z < shape[2]; z++) {
      await read(((start[2] + z) * ny + start[1]) * nx * header.bytesPerVoxel, raw)
      const to = voxels.subarray(z * plane, (z + 1) * plane)
      found += (await decode(raw, wide ?? to, encodingOf(header))).count
      if (wide) to.set(cropVoxels(wide, rows, { start: [start[0], 0, 0], shape: [shape[0], shape[1], 1] }))
    }
  })
  // The rows beside the box may hold them as well.
  if (found > 0 && source.finite) refuseNonFinite(voxels, source, start, shape)
  return voxels
}

function encodingOf({ datatype, littleEndian, slope, intercept }: NiftiHeader): Parameters<typeof decode>[2] {
  return { type: datatype, littleEndian, slope, intercept }
}

function expectOneVolume({ header: { volumes }, bytes: { path } }: Source): void {
  if (volumes === 1) return
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected one 3-D volume, found ${volumes} in one file; split it first`,
    { path, volumes },
  )
}

/** Throws for the voxels of a box that are NaN or infinite, where there are any. */
function refuseNonFinite(
  voxels: Float32Array,
  { bytes: { path } }: Source,
  start: readonly number[],
  shape: readonly number[],
): void {
  const [nx, ny] = shape as [number, number]
  const first = voxels.findIndex(value => !Number.isFinite(value))
  if (first < 0) return
  const count = voxels.reduce((sum, value) => sum + (Number.isFinite(value) ? 0 : 1), 0)
  const planes = voxels.length / (nx * ny)
  const within = [first % nx, Math.floor(first / nx) % ny, Math.floor(first / (nx * ny))]
  const index = within.map((at, axis) => at + start[axis]!)
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected finite voxels, found ${count} that are NaN or infinite in planes ${start[2]} to ${start[2]! + planes - 1}, the first at voxel (${index.join(', ')}); replace them in the source`,
    { path, count, index },
  )
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
