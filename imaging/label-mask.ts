/** Volumes of class indices as masks: checked and narrowed as they stream by. */

import type { Mask } from '../pipeline/flow.ts'
import type { Grid, Shape3, Volume } from '../pipeline/grid.ts'
import type { VolumePlan } from '../pipeline/planned.ts'
import { expectClasses } from './classes.ts'
import { maskOfPlanes, type MaskMaking, type OwnedMask } from './mask.ts'
import { paddedGrid, type Padding } from './pad.ts'
import { resample } from './resample.ts'
import { planesOf, SlabMemory, slabPlanes } from './volume.ts'
import { planResample, planStream } from './volume-plan.ts'

/** ERR_LABEL, with `what` and the value, for a voxel that is no class index from 0 to `classes` - 1; `classes` up to 256. */
export function labelMask(volume: Volume, classes: number, what: string, making: MaskMaking): Promise<OwnedMask> {
  return maskOfPlanes(volume.grid.shape, bytePlanes(volume, classes, what), making)
}

/** Planes that are good until the next is asked for. */
async function* bytePlanes(volume: Volume, classes: number, what: string): AsyncGenerator<Uint8Array> {
  const [nx, ny] = volume.grid.shape
  const plane = new Uint8Array(nx * ny)
  for await (const voxels of planesOf(volume)) {
    if (!narrow(voxels, plane, classes)) expectClasses(voxels, classes, what)
    yield plane
  }
}

/** Whether every value is a class index: one that is not, NaN among them, becomes another value as a byte. */
function narrow(values: Float32Array, to: Uint8Array, classes: number): boolean {
  let isClass = true
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    to[i] = value
    if (to[i] !== value || value >= classes) isClass = false
  }
  return isClass
}

/** The mask itself; ERR_LABEL, as `labelMask`, where it has other classes. */
export async function expectMask(mask: Mask, classes: number, what: string, pause: () => Promise<void>): Promise<Mask> {
  for (let z = 0; z < mask.shape[2]; z++) {
    expectClasses(mask.runs(z).value, classes, what)
    await pause()
  }
  return mask
}

/**
 * The mask, which lies on `from`, on another grid: each voxel of `to` takes the class of the nearest voxel, and is 0 where
 * it lies outside of what the mask covers.
 */
export function regridMask(mask: Mask, from: Grid, to: Grid, making: MaskMaking): Promise<OwnedMask> {
  return labelMask(resample(volumeOf(mask, from), to, 'nearest'), 256, 'the mask', making)
}

/** Bytes that regridding takes beside the masks. */
export function regriddingBytes(from: Grid, to: Grid): number {
  const source: VolumePlan = { ...planStream(paddedGrid(from, margin)), access: 'region' }
  return planResample(source, to, 'nearest').pulling + voxelsOfPlane(from.shape) + voxelsOfPlane(to.shape)
}

const margin: Padding = { before: [1, 1, 1], after: [1, 1, 1] }

function voxelsOfPlane([nx, ny]: Shape3): number {
  return nx * ny
}

/** With a voxel of background around it: resampling repeats the border, and here there is nothing to repeat. */
function volumeOf(mask: Mask, inner: Grid): Volume {
  const grid = paddedGrid(inner, margin)
  const [nx, ny, nz] = grid.shape
  const fill = (z: number, planes: number, voxels: Float32Array): void => {
    voxels.fill(0)
    for (let k = 0; k < planes; k++) {
      if (z + k === 0 || z + k === nz - 1) continue
      const plane = mask.plane(z + k - 1)
      for (let y = 1, row = (k * ny + 1) * nx + 1; y < ny - 1; y++, row += nx)
        voxels.set(plane.subarray((y - 1) * (nx - 2), y * (nx - 2)), row)
    }
  }
  return {
    grid,
    async *slabs() {
      const memory = new SlabMemory()
      const step = slabPlanes(grid)
      for (let z = 0; z < nz; z += step) {
        const planes = Math.min(step, nz - z)
        const slab = memory.slab(z, planes, planes * nx * ny)
        fill(z, planes, slab.voxels)
        yield slab
      }
    },
    async region(start, shape) {
      // Whoever resamples asks for whole planes.
      if (shape[0] !== nx || shape[1] !== ny) throw new Error('expected a region of whole planes')
      const voxels = new Float32Array(shape[2] * nx * ny)
      fill(start[2], shape[2], voxels)
      return voxels
    },
  }
}
