/** How a case's entry is laid out: its head, the planes' bricks, and where in the file each of them lies. */

import type { Key } from '../pipeline/flow.ts'
import type { Grid, Shape3 } from '../pipeline/grid.ts'
import { storedAs, type StoredAs } from '../native/stored.ts'
import { bytesPerVoxel, chunkPlanes } from './chunk.ts'
import { crc32 } from 'node:zlib'
import type { Json } from './plain-text.ts'

/**
 * Voxels of a brick along x and y; each brick has a checksum. A crop reads whole bricks: 224 x 224 voxels at any place read
 * at most 1.31 times their own bytes. Belongs to the format's version.
 */
export const brick: readonly [number, number] = [32, 32]

export const keys: readonly Key[] = ['image', 'label', 'prediction']

/** Where a volume's chunks and checksums lie. */
export interface VolumeHead {
  readonly grid: Grid
  /** What stages attached to the volume. */
  readonly header?: Uint8Array
  readonly volumes?: number
  readonly chunks: readonly ChunkHead[]
  /** float32 (planes, 3), as `Chunk.scales`; zeros where a plane has none. */
  readonly scales: Float32Array
  /** Place of the bricks' CRCs, uint32 in the order (plane, column, brick), and the CRC of them. */
  readonly crcs: { readonly offset: number; readonly crc: number }
}

export interface ChunkHead {
  readonly z: number
  readonly planes: number
  readonly offset: number
  readonly as: StoredAs
}

export interface EntryHead {
  readonly key: string
  /** Whatever else belongs to the sample. */
  readonly facts: Json
  readonly volumes: { readonly [K in Key]?: VolumeHead }
}

export function bricksPerPlane({ shape: [nx, ny] }: Grid): number {
  return Math.ceil(nx / brick[0]) * Math.ceil(ny / brick[1])
}

export function headOf({ key, facts, volumes }: EntryHead): Json {
  const described = keys
    .filter(name => volumes[name])
    .map(name => {
      const { grid, header, volumes: count, chunks, scales, crcs } = volumes[name]!
      const plain: Json = {
        shape: grid.shape,
        affine: grid.affine,
        step: chunkPlanes(grid),
        header,
        volumes: count,
        chunks: chunks.map(({ offset, as }) => [offset, storedAs[as]]),
        scales: new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength),
        crcs: [crcs.offset, crcs.crc],
      }
      return [name, plain] as const
    })
  return { kind: 'case', key, facts, volumes: Object.fromEntries(described) }
}

/**
 * The head as it was written, or undefined: its checksum was right, but what it says must also fit the file, whose bytes before
 * `end` are chunks and CRCs.
 */
export function parseHead(json: Json, end: number): EntryHead | undefined {
  if (!isRecord(json) || json.kind !== 'case' || typeof json.key !== 'string' || !isRecord(json.volumes))
    return undefined
  const volumes: { [K in Key]?: VolumeHead } = {}
  for (const [name, volume] of Object.entries(json.volumes)) {
    const parsed = isRecord(volume) ? parseVolume(volume, end) : undefined
    if (!parsed || !keys.includes(name as Key)) return undefined
    volumes[name as Key] = parsed
  }
  return { key: json.key, facts: json.facts ?? null, volumes }
}

type Fields = { readonly [name: string]: Json | undefined }

function parseVolume(fields: Fields, end: number): VolumeHead | undefined {
  const { shape, affine, step, header, volumes, chunks, scales, crcs } = fields
  const isShape = isNumbers(shape, 3) && shape.every(n => Number.isSafeInteger(n) && n >= 1 && n < 2 ** 31)
  if (!isShape || !isNumbers(affine, 16) || !Array.isArray(chunks)) return undefined
  if (header !== undefined && !(header instanceof Uint8Array)) return undefined
  if (volumes !== undefined && !Number.isSafeInteger(volumes)) return undefined
  const grid: Grid = { shape: shape as unknown as Shape3, affine }
  if (step !== chunkPlanes(grid)) return undefined
  const parsed = parseChunks(chunks as readonly Json[], grid, end)
  const isTable = isNumbers(crcs, 2) && Number.isSafeInteger(crcs[0]) && crcs[0]! >= 0
  if (!parsed || !isTable || crcs[0]! + 4 * bricksPerPlane(grid) * grid.shape[2] > end) return undefined
  if (!(scales instanceof Uint8Array) || scales.length !== 12 * grid.shape[2]) return undefined
  return {
    grid,
    ...(header && { header }),
    ...(volumes !== undefined && { volumes: volumes as number }),
    chunks: parsed,
    scales: new Float32Array(scales.slice().buffer),
    crcs: { offset: crcs[0]!, crc: crcs[1]! },
  }
}

function parseChunks(list: readonly Json[], grid: Grid, end: number): ChunkHead[] | undefined {
  const [nx, ny, nz] = grid.shape
  const step = chunkPlanes(grid)
  if (list.length !== Math.ceil(nz / step)) return undefined
  const chunks: ChunkHead[] = []
  for (const [i, item] of list.entries()) {
    if (!isNumbers(item, 2)) return undefined
    const [offset, number] = item as [number, number]
    const as = (Object.keys(storedAs) as StoredAs[]).find(name => storedAs[name] === number)
    const planes = Math.min(step, nz - i * step)
    const fits =
      as && Number.isSafeInteger(offset) && offset >= 0 && offset + nx * ny * planes * bytesPerVoxel[as] <= end
    if (!fits) return undefined
    chunks.push({ z: i * step, planes, offset, as })
  }
  return chunks
}

/** CRCs as they lie in the file, checked. */
export function parseCrcs(bytes: Buffer, expected: number): Int32Array | undefined {
  return crc32(bytes) === expected ? new Int32Array(new Uint8Array(bytes).buffer) : undefined
}

function isRecord(value: Json | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function isNumbers(value: Json | undefined, length: number): value is readonly number[] {
  return Array.isArray(value) && value.length === length && value.every(item => typeof item === 'number')
}
