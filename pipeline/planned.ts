/** What is known of a case behind each stage before a voxel is read. A leaf: types only. */

import type { Flow, Key } from './flow.ts'
import type { Grid, Shape3, SpatialStep } from './grid.ts'

/**
 * What is known of a volume behind a stage before a voxel is read. Bytes are upper bounds, told as if each stage held the
 * slab that it was given and the one that it gives.
 */
export interface VolumePlan {
  /** The largest that it can be, where only voxels can tell. */
  readonly grid: Grid
  /** Whether the volume will have just this grid. */
  readonly isExact: boolean
  /**
   * What is to be had of it: slabs only, so that whoever wants a voxel pulls; boxes too; or all voxels, which lie in memory
   * as `resident`.
   */
  readonly access: 'slabs' | 'region' | 'resident'
  /** Bytes at work in the stages so far while it is pulled, the slab that arrives among them. */
  readonly pulling: number
  /** Bytes of the largest slab that arrives. */
  readonly slab: number
}

/** What is known of a case behind a stage before a voxel is read. */
export interface Plan {
  readonly flow: Flow
  /** As they leave the stage; a predicted mask is the `prediction`. */
  readonly volumes: { readonly [K in Key]?: VolumePlan }
  /** What the stages did to the image; a crop whose box only voxels can tell is the whole grid. */
  readonly steps: readonly SpatialStep[]
  /** How many items the case gives: its patches; else 1. */
  readonly items: number
  /** Extents of patches and batches. */
  readonly patch?: Shape3
  /** What the network will be shown of it, at most. */
  readonly windows?: { readonly shape: Shape3; readonly count: number }
  /** Bytes that lie in memory until the case has left the stages: what a cache gave it, a mask. */
  readonly resident: number
  /** Most bytes that live at once for this case in this stage or one before it. */
  readonly bytes: number
}

/** What a flow holds whatever the case: patches and batches on their way. */
export interface Standing {
  /** Extents of a patch, and how many a case gives. */
  readonly patch?: Shape3
  readonly patchesPerCase: number
  /** Patches in a batch. */
  readonly batch?: number
  readonly bytes: number
}
