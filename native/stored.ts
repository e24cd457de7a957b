/**
 * The addon's calls for voxels that are kept: encodings, bricks, reading from a file. Each works on libuv's pool; what it
 * is lent must stay attached, and a file open, until the promise settles.
 */

/** How a voxel is kept, by its number in encoding.h. */
export const storedAs = { float32: 0, uint8: 1, uint16: 2 } as const
export type StoredAs = keyof typeof storedAs

/** Shapes are flat lists, described in stored-calls.h. Voxels as stored come and go as bytes, in this machine's order. */
export interface StoredCalls {
  /**
   * [voxels of a plane, planes]. False, and `to` unfinished, where the voxels do not fit: `uint8` wants whole numbers 0..255,
   * `uint16` finite ones; it fills `scales` (planes, 3) with least, step, greatest.
   */
  encodePlanes(
    voxels: Float32Array,
    as: number,
    shape: readonly number[],
    to: Uint8Array,
    scales: Float32Array | null,
  ): Promise<boolean>
  /** [nx, ny, planes] and [x, y, z, width, height, depth] of it. */
  decodePlanes(
    from: Uint8Array,
    as: number,
    shape: readonly number[],
    box: readonly number[],
    scales: Float32Array | null,
    to: Float32Array,
  ): Promise<void>
  /** [nx, ny, planes, brick x, brick y]; a CRC-32 for each brick. */
  brickPlanes(
    from: Uint8Array,
    bytesPerVoxel: number,
    shape: readonly number[],
    to: Uint8Array,
    crcs: Int32Array,
  ): Promise<void>
  /**
   * [nx, ny, brick x, brick y, x, y, width, height] of each plane. planes: (count, 6), for each the offset in the file, its
   * encoding's number, the index of its first CRC, least, step, greatest. `to` is (planes, height, width), decoded, or with `raw`
   * as stored. Gives [bytes read, whether a brick is damaged or the file too short, errno or 0].
   */
  readBricks(
    file: number,
    shape: readonly number[],
    planes: Float64Array,
    crcs: Int32Array,
    to: Float32Array | Uint8Array,
    raw: boolean,
  ): Promise<[number, boolean, number]>
}
