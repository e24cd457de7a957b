/** The box around what is brighter than a threshold. */

import { searchBox } from '../native/voxels.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Shape3, Volume } from '../pipeline/grid.ts'

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
  const low = [...shape]
  const high = [-1, -1, -1]
  for await (const { z, planes, voxels, release } of volume.slabs()) {
    const found = await searchBox(voxels, [shape[0], shape[1], planes], threshold)
    release?.()
    if (!found) continue
    for (let axis = 0; axis < 3; axis++) {
      const before = axis === 2 ? z : 0
      low[axis] = Math.min(low[axis]!, before + found.low[axis]!)
      high[axis] = Math.max(high[axis]!, before + found.high[axis]!)
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
