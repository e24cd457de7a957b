/** Limiting and rescaling intensities. */

import { clip as clipVoxels, type ClipOptions } from '../native/voxels.ts'
import type { Volume } from '../pipeline/grid.ts'
import { mapVoxels } from './volume.ts'

/**
 * [min, max] becomes [to[0], to[1]], values outside are limited. MONAI's `ScaleIntensityRange` with clip: scaled first,
 * limited afterwards, every operation rounded to float32, in its order. `min < max` is the caller's care.
 */
export function clip(volume: Volume, options: ClipOptions): Volume {
  return mapVoxels(volume, (from, to) => clipVoxels(from, to, options))
}
