/** Cutting boxes out of volumes. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Shape3, Slab, Volume } from '../pipeline/grid.ts'
import { translated } from './affine.ts'
import type { Box } from './foreground.ts'
import { lazyVolume, residentVolume, SlabMemory, slabPlanes } from './volume.ts'

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
 * is not missed, but where it can be read by region: then the box alone. The same volume where the box is all of it.
 */
export function crop(volume: Volume, box: Box): Volume {
  const grid = croppedGrid(volume.grid, box)
  if (box.shape.every((n, axis) => n === volume.grid.shape[axis])) return volume
  if (volume.resident) return residentVolume(grid, cropVoxels(volume.resident, volume.grid.shape, box))
  const { region } = volume
  if (region) {
    const inside = (start: Shape3, shape: Shape3): Promise<Float32Array> => region(sum(start, box.start), shape)
    return { ...lazyVolume(grid, () => slabsByRegion(grid, inside)), region: inside }
  }
  const [nx, ny, nz] = volume.grid.shape
  const end = box.start[2] + box.shape[2]
  return lazyVolume(grid, async function* (): AsyncGenerator<Slab> {
    const memory = new SlabMemory()
    for await (const slab of volume.slabs()) {
      const first = Math.max(slab.z, box.start[2])
      const planes = Math.min(slab.z + slab.planes, end, nz) - first
      if (planes > 0) {
        const within: Box = {
          start: [box.start[0], box.start[1], first - slab.z],
          shape: [box.shape[0], box.shape[1], planes],
        }
        const cut = memory.slab(first - box.start[2], planes, box.shape[0] * box.shape[1] * planes)
        cropInto(cut.voxels, slab.voxels, [nx, ny, slab.planes], within)
        slab.release?.()
        yield cut
      } else slab.release?.()
    }
  })
}

async function* slabsByRegion(grid: Grid, region: NonNullable<Volume['region']>): AsyncGenerator<Slab> {
  const [nx, ny, nz] = grid.shape
  const step = slabPlanes(grid)
  for (let z = 0; z < nz; z += step) {
    const planes = Math.min(step, nz - z)
    yield { z, planes, voxels: await region([0, 0, z], [nx, ny, planes]), release: () => {} }
  }
}

function sum(a: Shape3, b: Shape3): Shape3 {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/** A new array with the voxels (z, y, x) of a box. */
export function cropVoxels(voxels: Float32Array, shape: Shape3, box: Box): Float32Array {
  const cut = new Float32Array(box.shape[0] * box.shape[1] * box.shape[2])
  cropInto(cut, voxels, shape, box)
  return cut
}

function cropInto(cut: Float32Array, voxels: Float32Array, [nx, ny]: Shape3, { start, shape: size }: Box): void {
  let at = 0
  for (let z = 0; z < size[2]; z++) {
    for (let y = 0; y < size[1]; y++, at += size[0]) {
      const row = ((start[2] + z) * ny + start[1] + y) * nx + start[0]
      cut.set(voxels.subarray(row, row + size[0]), at)
    }
  }
}
