/** Volumes made of slabs: building, mapping, cutting and materialising them. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Slab, Volume } from '../pipeline/stage.ts'

/** A volume that came from a file; stages hand `header` on, so that a mask can take the scan's own geometry. */
export interface LoadedVolume extends Volume {
  /** The first 348 or 540 bytes of the scan's NIfTI file. */
  readonly header?: Uint8Array
  /** How many volumes the file holds; 1 for anything that may be worked on. */
  readonly volumes?: number
}

/** Bytes of float32 voxels in one slab, about: large enough to be fast, small beside any volume. */
export const slabBytes = 4 << 20

/** Number of voxels of a grid. */
export function voxelCount(grid: Grid): number {
  return grid.shape[0] * grid.shape[1] * grid.shape[2]
}

/** How many planes a slab of this grid should have; at least 1. */
export function slabPlanes(grid: Grid): number {
  const plane = grid.shape[0] * grid.shape[1] * 4
  return Math.max(1, Math.min(grid.shape[2], Math.floor(slabBytes / plane)))
}

/** A volume whose voxels (z, y, x) are already in memory; `voxels` is shared, not copied: its slabs are views. */
export function residentVolume(grid: Grid, voxels: Float32Array): Volume {
  if (voxels.length !== voxelCount(grid)) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected ${voxelCount(grid)} voxels for a ${grid.shape.join(' x ')} grid, found ${voxels.length}`,
    )
  }
  return {
    grid,
    resident: voxels,
    async *slabs(): AsyncGenerator<Slab> {
      yield* slabsOf(grid, voxels)
    },
  }
}

/** A volume that calls `pull` anew each time somebody reads it. */
export function lazyVolume(grid: Grid, pull: () => AsyncIterable<Slab>): Volume {
  return { grid, slabs: pull }
}

/** `to` with the scan's header that `from` carries, if any. */
export function carryHeader(from: Volume, to: Volume): Volume {
  const { header } = from as LoadedVolume
  return header ? ({ ...to, header } as LoadedVolume) : to
}

/** The same grid, each slab through a function that returns a new array (never its argument changed). */
export function mapSlabs(volume: Volume, map: (voxels: Float32Array, slab: Slab) => Float32Array): Volume {
  return lazyVolume(volume.grid, async function* () {
    for await (const slab of volume.slabs()) yield { ...slab, voxels: map(slab.voxels, slab) }
  })
}

/** Resident voxels as slabs of a few planes, views and no copies. */
export function* slabsOf(grid: Grid, voxels: Float32Array): Generator<Slab> {
  const plane = grid.shape[0] * grid.shape[1]
  const step = slabPlanes(grid)
  for (let z = 0; z < grid.shape[2]; z += step) {
    const planes = Math.min(step, grid.shape[2] - z)
    yield { z, planes, voxels: voxels.subarray(z * plane, (z + planes) * plane) }
  }
}

/** The volume plane by plane, views of its slabs: for walking several volumes of one shape side by side. */
export async function* planesOf(volume: Volume): AsyncGenerator<Float32Array> {
  const plane = volume.grid.shape[0] * volume.grid.shape[1]
  for await (const slab of volume.slabs()) {
    for (let k = 0; k < slab.planes; k++) yield slab.voxels.subarray(k * plane, (k + 1) * plane)
  }
}

/** All voxels (z, y, x). Pulls the whole volume unless it is resident; then no copy is made. */
export async function materialise(volume: Volume): Promise<Float32Array> {
  if (volume.resident) return volume.resident
  const plane = volume.grid.shape[0] * volume.grid.shape[1]
  const voxels = new Float32Array(plane * volume.grid.shape[2])
  let next = 0
  for await (const slab of volume.slabs()) {
    if (slab.z !== next) throw new Error(`slabs out of order: expected plane ${next}, found ${slab.z}`)
    voxels.set(slab.voxels, slab.z * plane)
    next += slab.planes
  }
  if (next !== volume.grid.shape[2]) throw new Error(`expected ${volume.grid.shape[2]} planes, found ${next}`)
  return voxels
}
