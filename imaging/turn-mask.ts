/** Masks with their axes turned: flips and permutations, as `reorient` does with volumes. */

import type { Mask } from '../pipeline/flow.ts'
import type { Grid } from '../pipeline/grid.ts'
import { maskOfPlanes, maskVoxels, type MaskMaking, type OwnedMask } from './mask.ts'
import { axisMap } from './orient.ts'

/**
 * The mask, which lies on `from`, on a grid that differs by flips and permutations of axes. Plane by plane where z stays z,
 * whichever way it runs; else its voxels are held meanwhile, a byte each (`turningBytes`).
 */
export function turnMask(mask: Mask, from: Grid, to: Grid, making: MaskMaking): Promise<OwnedMask> {
  return maskOfPlanes(to.shape, turnedPlanes(mask, from, to), making)
}

function* turnedPlanes(mask: Mask, from: Grid, to: Grid): Generator<Uint8Array> {
  const axes = axisMap(from, to)
  const strides = [1, from.shape[0], from.shape[0] * from.shape[1]]
  const [dx, dy, dz] = axes.from.map((axis, i) => (axes.flipped[i] ? -strides[axis]! : strides[axis]!))
  const [nx, ny, nz] = to.shape
  const keepsZ = axes.from[2] === 2
  const voxels = keepsZ ? undefined : maskVoxels(mask)
  const first = axes.from.reduce(
    (sum, axis, i) => sum + (axes.flipped[i] ? strides[axis]! * (from.shape[axis]! - 1) : 0),
    0,
  )
  for (let z = 0; z < nz; z++) {
    const at = first + z * dz!
    const source = keepsZ ? Math.floor(at / strides[2]!) : 0
    const plane = voxels ?? mask.plane(source)
    const turned = new Uint8Array(nx * ny)
    for (let y = 0, i = 0; y < ny; y++) {
      let voxel = at - source * strides[2]! + y * dy!
      for (let x = 0; x < nx; x++, voxel += dx!) turned[i++] = plane[voxel]!
    }
    yield turned
  }
}

/** Bytes that turning takes beside the masks. */
export function turningBytes(from: Grid, to: Grid): number {
  const [nx, ny, nz] = from.shape
  return axisMap(from, to).from[2] === 2 ? 2 * nx * ny : nx * ny * (nz + 1)
}
