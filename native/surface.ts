/** Distances between the surfaces of two masks, off the main thread as in voxels.ts. */

import { loadAddon } from './addon.ts'

/** The addon's calls. */
export interface SurfaceCalls {
  surfaceDistances(
    from: Int32Array,
    to: Int32Array,
    shape: readonly number[],
    spacing: Float64Array,
    most: number,
  ): Promise<Float32Array | number>
}

type Extents = readonly [x: number, y: number, z: number]

/** A mask of a box: bit x % 32 of word x / 32 of row (z, y); a row has whole words. Outside of the box nothing is inside. */
export interface BitMask {
  readonly shape: Extents
  readonly words: Int32Array
}

/** Words of a row. */
export function rowWords(nx: number): number {
  return Math.ceil(nx / 32)
}

/** A mask with nothing in it. */
export function emptyBitMask(shape: Extents): BitMask {
  return { shape, words: new Int32Array(rowWords(shape[0]) * shape[1] * shape[2]) }
}

/**
 * mm from every voxel of `from` with a face outside of it to the nearest such voxel of `to`, which has the same extents;
 * ascending, and none where either mask is empty; how many such voxels `from` has where they are more than `most`. `spacing`
 * is mm along x, y, z. Takes time linear in the box's voxels.
 */
export function distancesBetween(
  from: BitMask,
  to: BitMask,
  spacing: Extents,
  most = Infinity,
): Promise<Float32Array | number> {
  return loadAddon().surfaceDistances(from.words, to.words, from.shape, Float64Array.from(spacing), most)
}

/** Most bytes that `distancesBetween` holds beside the masks and the distances. */
export function distancesBytes([nx, ny, nz]: Extents): number {
  // A bit for each voxel, in words of 64 planes; five numbers for each column; some lines.
  return nx * ny * (8 * Math.ceil(nz / 64) + 24) + 64 * (nx + ny + nz) + 4096
}
