/** The box around what is brighter than a threshold. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Shape3, Volume } from '../pipeline/stage.ts'

/** A box of voxels: its first voxel, and its extents. */
export interface Box {
  readonly start: Shape3
  readonly shape: Shape3
}

/**
 * The smallest box with every voxel above `threshold` (strictly), larger by `margin` voxels on each side as far as the
 * volume goes: MONAI's `generate_spatial_bounding_box`. Pulls the volume once. ERR_VOLUME where nothing is above, where
 * MONAI goes on with an empty volume.
 */
export async function foregroundBox(volume: Volume, threshold = 0, margin = 0): Promise<Box> {
  const { shape } = volume.grid
  const [nx, ny] = shape
  const low = [nx, ny, shape[2]]
  const high = [-1, -1, -1]
  for await (const slab of volume.slabs()) {
    const rows = slab.planes * ny
    for (let row = 0; row < rows; row++) {
      const first = firstAbove(slab.voxels, row * nx, nx, threshold)
      if (first < 0) continue
      const last = lastAbove(slab.voxels, row * nx, nx, threshold)
      const y = row % ny
      const z = slab.z + Math.floor(row / ny)
      if (first < low[0]!) low[0] = first
      if (last > high[0]!) high[0] = last
      if (y < low[1]!) low[1] = y
      if (y > high[1]!) high[1] = y
      if (z < low[2]!) low[2] = z
      if (z > high[2]!) high[2] = z
    }
  }
  if (high[0]! < 0) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected voxels above ${threshold} to crop to, found none in ${shape.join(' x ')}; is the scan empty, or the threshold in other units?`,
      { threshold },
    )
  }
  const start = low.map(at => Math.max(0, at - margin)) as unknown as Shape3
  const end = high.map((at, axis) => Math.min(shape[axis]!, at + 1 + margin))
  return { start, shape: end.map((at, axis) => at - start[axis]!) as unknown as Shape3 }
}

function firstAbove(voxels: Float32Array, at: number, count: number, threshold: number): number {
  for (let i = 0; i < count; i++) if (voxels[at + i]! > threshold) return i
  return -1
}

function lastAbove(voxels: Float32Array, at: number, count: number, threshold: number): number {
  let i = count - 1
  while (!(voxels[at + i]! > threshold)) i--
  return i
}
