/** Where voxels lie and how they are had. A leaf: types only. */

/** Where voxels lie: `affine` is 4x4 row-major, voxel index (i, j, k) to millimetres in RAS+ (NIfTI's world). */
export interface Grid {
  /** Voxels along x, y, z. */
  readonly shape: Shape3
  readonly affine: readonly number[]
}

/** Extents along x, y, z. */
export type Shape3 = readonly [x: number, y: number, z: number]

/** Some consecutive z planes; `voxels` is (planes, y, x), x fastest. */
export interface Slab {
  readonly z: number
  readonly planes: number
  readonly voxels: Float32Array
  /**
   * There where the voxels belong to whoever pulled them: they may be overwritten, kept, or given back by calling this, after
   * which they are a later slab's. Without it they live on elsewhere and stay as they are.
   */
  readonly release?: () => void
}

/**
 * One scalar volume. Nothing is read until somebody pulls; pulling twice reads twice unless the voxels are `resident`.
 * Slabs come in ascending z, without gaps, and cover the grid.
 */
export interface Volume {
  readonly grid: Grid
  slabs(): AsyncIterable<Slab>
  /** All voxels (z, y, x), x fastest, where they are already in memory. Never written to by a stage. */
  readonly resident?: Float32Array
  /** The voxels (z, y, x) of a box inside the grid, where they can be had without pulling the rest; a new array. */
  readonly region?: (start: Shape3, shape: Shape3) => Promise<Float32Array>
}

/** What a spatial stage did to the image, so that a prediction can be brought back; replayed last to first. */
export type SpatialStep =
  | { readonly kind: 'orient'; readonly from: Grid; readonly to: Grid }
  | { readonly kind: 'resample'; readonly from: Grid; readonly to: Grid }
  | { readonly kind: 'crop'; readonly from: Grid; readonly start: Shape3; readonly to: Grid }
  | { readonly kind: 'pad'; readonly from: Grid; readonly before: Shape3; readonly to: Grid }
