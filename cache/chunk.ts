/**
 * Voxels as a cache keeps them: chunks of some planes, each in one encoding. Chunks are cut by the grid alone, so that
 * what comes back does not depend on how the voxels arrived.
 */

import { slabPlanes, voxelCount } from '../imaging/volume.ts'
import { loadAddon } from '../native/addon.ts'
import { storedAs, type StoredAs } from '../native/stored.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Slab, Volume } from '../pipeline/grid.ts'

/**
 * How exactly voxels are kept. `exact`: bit for bit, as uint8 where all voxels of a chunk are whole numbers in 0..255, as
 * labels are, else as float32. `uint16`: each plane has its own least and greatest value and 65534 steps between them; a voxel
 * is off by at most half a step, (greatest - least) / 131070, plus the rounding to float32 of what comes out. Least and
 * greatest, and so constant planes, come back exactly (-0 as 0). Voxels must be finite.
 */
export type Encoding = 'exact' | 'uint16'

/** Some planes (z, y, x), x fastest. */
export interface Chunk {
  readonly z: number
  readonly planes: number
  readonly as: StoredAs
  /** The voxels as stored, in this machine's byte order; begins at a multiple of 4 bytes. */
  readonly bytes: Uint8Array
  /** (planes, 3): least, step, greatest; `uint16` only. 65535 means greatest, any other code q least + q * step. */
  readonly scales?: Float32Array
}

export const bytesPerVoxel: Readonly<Record<StoredAs, number>> = { float32: 4, uint8: 1, uint16: 2 }

/** Planes of each chunk but the last. */
export function chunkPlanes(grid: Grid): number {
  return slabPlanes(grid)
}

/** Most bytes that the voxels of this grid take: tight for `uint16`, four times what labels need for `exact`. */
export function mostBytes(grid: Grid, encoding: Encoding): number {
  return encoding === 'exact' ? 4 * voxelCount(grid) : 2 * voxelCount(grid) + 12 * grid.shape[2]
}

/** Bytes at work while a volume of this grid is encoded, the source's own slabs and what is kept apart. */
export function encodingBytes(grid: Grid): number {
  const voxels = grid.shape[0] * grid.shape[1] * chunkPlanes(grid)
  // A chunk put together from slabs that were cut otherwise, encoded, and in bricks.
  return 3 * 4 * voxels
}

/** The volume's chunks, pulled once, none held. ERR_VOLUME for `uint16` where a voxel is not finite. */
export async function* encode(volume: Volume, encoding: Encoding): AsyncGenerator<Chunk> {
  for await (const slab of inChunks(volume)) yield encoding === 'exact' ? await exactly(slab) : await in16Bits(slab)
}

/** All voxels of a chunk, a new array. */
export async function decodeChunk(chunk: Chunk, { shape: [nx, ny] }: Grid): Promise<Float32Array> {
  const voxels = new Float32Array(nx * ny * chunk.planes)
  await decodeBox(chunk, [nx, ny, chunk.planes], [0, 0, 0, nx, ny, chunk.planes], voxels)
  return voxels
}

/** `box` [x, y, z, width, height, depth] of a chunk of `shape` [nx, ny, planes], into `to`. */
export async function decodeBox(
  { as, bytes, scales }: Chunk,
  shape: readonly number[],
  box: readonly number[],
  to: Float32Array,
): Promise<void> {
  await loadAddon().decodePlanes(bytes, storedAs[as], shape, box, scales ?? null, to)
}

/** The volume's slabs cut at multiples of `chunkPlanes`; views of its slabs where they are cut so already. */
async function* inChunks(volume: Volume): AsyncGenerator<Slab> {
  const { grid } = volume
  const [nx, ny, nz] = grid.shape
  const plane = nx * ny
  const step = chunkPlanes(grid)
  let begun: Float32Array | undefined
  let next = 0
  for await (const slab of volume.slabs()) {
    if (slab.z !== next) throw new Error(`slabs out of order: expected plane ${next}, found ${slab.z}`)
    while (next < slab.z + slab.planes) {
      const z = Math.floor(next / step) * step
      const planes = Math.min(step, nz - z)
      const end = Math.min(z + planes, slab.z + slab.planes)
      const part = slab.voxels.subarray((next - slab.z) * plane, (end - slab.z) * plane)
      const isWhole = end - next === planes
      if (!isWhole) (begun ??= new Float32Array(planes * plane)).set(part, (next - z) * plane)
      next = end
      if (next < z + planes) continue
      yield { z, planes, voxels: isWhole ? part : begun! }
      begun = undefined
    }
    // What was made of it is a copy.
    slab.release?.()
  }
  if (next !== nz) throw new Error(`expected ${nz} planes, found ${next}`)
}

async function exactly({ z, planes, voxels }: Slab): Promise<Chunk> {
  const bytes = new Uint8Array(voxels.length)
  const fits = await loadAddon().encodePlanes(voxels, storedAs.uint8, [voxels.length / planes, planes], bytes, null)
  if (fits) return { z, planes, as: 'uint8', bytes }
  // A copy: a view would keep whatever it was cut from.
  const copy = voxels.slice()
  return { z, planes, as: 'float32', bytes: new Uint8Array(copy.buffer) }
}

async function in16Bits({ z, planes, voxels }: Slab): Promise<Chunk> {
  const bytes = new Uint8Array(2 * voxels.length)
  const scales = new Float32Array(3 * planes)
  const shape = [voxels.length / planes, planes]
  if (!(await loadAddon().encodePlanes(voxels, storedAs.uint16, shape, bytes, scales))) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected finite voxels to keep in 16 bits, found some that are NaN or infinite in planes ${z} to ${z + planes - 1}; choose the encoding "exact"`,
      { z, planes },
    )
  }
  return { z, planes, as: 'uint16', bytes, scales }
}
