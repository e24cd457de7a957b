/** Volumes made of slabs: building, mapping and materialising them. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Slab, Volume } from '../pipeline/stage.ts'

/** Number of voxels of a grid. */
export function voxelCount(grid: Grid): number {
  return grid.shape[0] * grid.shape[1] * grid.shape[2]
}

/** A volume whose voxels (z, y, x) are already in memory; `voxels` is shared, not copied. */
export function residentVolume(grid: Grid, voxels: Float32Array): Volume {
  if (voxels.length !== voxelCount(grid)) {
    throw new PipelineError('ERR_VOLUME', `expected ${voxelCount(grid)} voxels for a ${grid.shape.join(' x ')} grid, found ${voxels.length}`)
  }
  return {
    grid,
    resident: voxels,
    async *slabs(): AsyncGenerator<Slab> {
      yield { z: 0, planes: grid.shape[2], voxels }
    },
  }
}

/** A volume that calls `pull` anew each time somebody reads it. */
export function lazyVolume(grid: Grid, pull: () => AsyncIterable<Slab>): Volume {
  return { grid, slabs: pull }
}

/** The same grid, each slab through a function that returns a new array (never its argument changed). */
export function mapSlabs(volume: Volume, map: (voxels: Float32Array) => Float32Array): Volume {
  return lazyVolume(volume.grid, async function* () {
    for await (const slab of volume.slabs()) yield { ...slab, voxels: map(slab.voxels) }
  })
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
