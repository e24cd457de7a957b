/** Cutting boxes out of volumes. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Shape3, Slab, Volume } from '../pipeline/stage.ts'
import { translated } from './affine.ts'
import type { Box } from './foreground.ts'
import { lazyVolume, residentVolume } from './volume.ts'

/** The grid of a box of `grid`; its voxels keep their places in the world. */
export function croppedGrid(grid: Grid, { start, shape }: Box): Grid {
  const fits = [0, 1, 2].every(
    axis => start[axis]! >= 0 && shape[axis]! >= 1 && start[axis]! + shape[axis]! <= grid.shape[axis]!,
  )
  if (!fits) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected a box inside ${grid.shape.join(' x ')} voxels, found ${shape.join(' x ')} from (${start.join(', ')})`,
      { start, shape },
    )
  }
  return { shape, affine: translated(grid.affine, start) }
}

/**
 * The voxels of a box. Lazy, or resident where the volume is. Reads its source to the end, so that damage after the box
 * is not missed. The same volume where the box is all of it.
 */
export function crop(volume: Volume, box: Box): Volume {
  const grid = croppedGrid(volume.grid, box)
  if (box.shape.every((n, axis) => n === volume.grid.shape[axis])) return volume
  if (volume.resident) return residentVolume(grid, cropVoxels(volume.resident, volume.grid.shape, box))
  const [nx, ny, nz] = volume.grid.shape
  const end = box.start[2] + box.shape[2]
  return lazyVolume(grid, async function* (): AsyncGenerator<Slab> {
    for await (const slab of volume.slabs()) {
      const first = Math.max(slab.z, box.start[2])
      const planes = Math.min(slab.z + slab.planes, end, nz) - first
      if (planes <= 0) continue
      const within: Box = {
        start: [box.start[0], box.start[1], first - slab.z],
        shape: [box.shape[0], box.shape[1], planes],
      }
      yield { z: first - box.start[2], planes, voxels: cropVoxels(slab.voxels, [nx, ny, slab.planes], within) }
    }
  })
}

/** A new array with the voxels (z, y, x) of a box. */
export function cropVoxels(voxels: Float32Array, shape: Shape3, { start, shape: size }: Box): Float32Array {
  const [nx, ny] = shape
  const cut = new Float32Array(size[0] * size[1] * size[2])
  let at = 0
  for (let z = 0; z < size[2]; z++) {
    for (let y = 0; y < size[1]; y++, at += size[0]) {
      const row = ((start[2] + z) * ny + start[1] + y) * nx + start[0]
      cut.set(voxels.subarray(row, row + size[0]), at)
    }
  }
  return cut
}
