/** Masks with their axes turned: flips and permutations, as `reorient` does with volumes. */

import type { Grid, Mask } from '../pipeline/stage.ts'
import { MaskBuilder, maskVoxels, type OwnedMask } from './mask.ts'
import { axisMap } from './orient.ts'

/**
 * The mask, which lies on `from`, on a grid that differs by flips and permutations of axes. Plane by plane where z stays z,
 * whichever way it runs; else its voxels are held meanwhile, a byte each (`turningBytes`). `pause` comes between planes: it
 * lets others in, and rejects where the work is no longer wanted.
 */
export async function turnMask(
  mask: Mask,
  from: Grid,
  to: Grid,
  { scratch, pause }: { readonly scratch?: string | undefined; readonly pause: () => Promise<void> },
): Promise<OwnedMask> {
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
  const builder = new MaskBuilder(to.shape, scratch)
  try {
    for (let z = 0; z < nz; z++) {
      const at = first + z * dz!
      const source = keepsZ ? Math.floor(at / strides[2]!) : 0
      const plane = voxels ?? mask.plane(source)
      const turned = new Uint8Array(nx * ny)
      for (let y = 0, i = 0; y < ny; y++) {
        let voxel = at - source * strides[2]! + y * dy!
        for (let x = 0; x < nx; x++, voxel += dx!) turned[i++] = plane[voxel]!
      }
      builder.append(turned)
      await pause()
    }
    return builder.finish()
  } catch (error) {
    builder.close()
    throw error
  }
}

/** Bytes that turning takes beside the masks. */
export function turningBytes(from: Grid, to: Grid): number {
  const [nx, ny, nz] = from.shape
  return axisMap(from, to).from[2] === 2 ? 2 * nx * ny : nx * ny * (nz + 1)
}
