/** Bringing a map from the grid that a network saw back to the grid of the scan: the spatial steps, last to first. */

import { maskPlane } from '../native/windows.ts'
import type { SpatialStep, Volume } from '../pipeline/grid.ts'
import { crop } from './crop.ts'
import { reorient } from './orient.ts'
import { pad } from './pad.ts'
import { resample, type Interpolation } from './resample.ts'
import { planesOf } from './volume.ts'

/**
 * `map` (on the grid that the last step led to) on the grid before the first step, lazily. Crops come back as zeros
 * around the map, padding is cut off, resampling is resampling the other way, clamped at the border: MONAI's `Invertd`
 * with nearest_interp false for `linear`.
 */
export function invert(steps: readonly SpatialStep[], map: Volume, interpolation: Interpolation = 'linear'): Volume {
  return steps.toReversed().reduce((volume, step) => undo(step, volume, interpolation), map)
}

function undo(step: SpatialStep, volume: Volume, interpolation: Interpolation): Volume {
  switch (step.kind) {
    case 'orient':
      return reorient(volume, step.from)
    case 'resample':
      return resample(volume, step.from, interpolation)
    case 'crop': {
      const after = step.from.shape.map((n, axis) => n - step.start[axis]! - step.to.shape[axis]!)
      return pad(volume, { before: step.start, after: [after[0]!, after[1]!, after[2]!] }, 'constant', 0)
    }
    case 'pad':
      return crop(volume, { start: step.before, shape: step.from.shape })
  }
}

/**
 * The class of the highest value at each voxel, plane by plane (y, x), of one map per class on one grid; of one map, the
 * margin by which the second of two classes is ahead: where it is above 0. The lower class wins a tie, so what a crop has cut off, zero in every
 * map, is background. `each` sees every plane of the maps, one per map, good until it settles; what is yielded is good until the next.
 */
export async function* classPlanes(
  maps: readonly Volume[],
  each?: (planes: readonly Float32Array[]) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const sources = maps.map(map => planesOf(map))
  let mask: Uint8Array | undefined
  try {
    for await (const first of sources[0]!) {
      const planes = [first]
      for (const [c, source] of sources.slice(1).entries()) {
        const { done, value } = await source.next()
        if (done) throw new Error(`class ${c + 1} has fewer planes than class 0`)
        planes.push(value)
      }
      mask ??= new Uint8Array(first.length)
      await maskPlane(planes, mask)
      await each?.(planes)
      yield mask
    }
  } finally {
    for (const source of sources) await source.return(undefined)
  }
}
