/** The surface of a mask as voxels: those of the mask with a face on something else. */

import type { Shape3 } from '../../pipeline/grid.ts'
import type { Box } from '../../imaging/foreground.ts'

export type Mask = Uint8Array | Float32Array

/** The smallest box that holds every voxel of class `value` of all masks (z, y, x); `undefined` where there is none. */
export function unionBox(masks: readonly Mask[], shape: Shape3, value: number): Box | undefined {
  const low = [...shape]
  const high = [-1, -1, -1]
  for (const mask of masks) {
    const [nx, ny, nz] = shape
    for (let z = 0, row = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++, row += nx) {
        let first = 0
        while (first < nx && mask[row + first] !== value) first++
        if (first === nx) continue
        let last = nx - 1
        while (mask[row + last] !== value) last--
        low[0] = Math.min(low[0]!, first)
        low[1] = Math.min(low[1]!, y)
        low[2] = Math.min(low[2]!, z)
        high[0] = Math.max(high[0]!, last)
        high[1] = Math.max(high[1]!, y)
        high[2] = Math.max(high[2]!, z)
      }
    }
  }
  if (high[0]! < 0) return undefined
  const size = high.map((end, axis) => end + 1 - low[axis]!)
  return { start: low as unknown as Shape3, shape: size as unknown as Shape3 }
}

/**
 * The surface of class `value` inside a box of a mask (z, y, x): 1 where a voxel of the class has one of its six face
 * neighbours outside of it. What lies outside the box counts as background, the image's own border too, so the box has
 * to hold the whole class. This is the mask without its erosion by the 6-neighbourhood; MONAI's margin of one voxel
 * around the box gives the same voxels. A new array (z, y, x) of the box's shape.
 */
export function edges(mask: Mask, shape: Shape3, box: Box, value: number): Uint8Array {
  const inside = classIn(mask, shape, box, value)
  const [nx, ny, nz] = box.shape
  const plane = nx * ny
  // Everything on the border of the box is edge; the rest is where not all six neighbours are inside.
  const surface = inside.slice()
  for (let z = 1; z < nz - 1; z++) {
    for (let y = 1; y < ny - 1; y++) {
      const row = z * plane + y * nx
      for (let i = row + 1; i < row + nx - 1; i++) {
        const enclosed =
          inside[i - 1]! & inside[i + 1]! & inside[i - nx]! & inside[i + nx]! & inside[i - plane]! & inside[i + plane]!
        surface[i] = inside[i]! & ~enclosed
      }
    }
  }
  return surface
}

/** 1 where a voxel of the box is of the class. */
function classIn(mask: Mask, shape: Shape3, { start, shape: size }: Box, value: number): Uint8Array {
  const inside = new Uint8Array(size[0] * size[1] * size[2])
  for (let z = 0, to = 0; z < size[2]; z++) {
    for (let y = 0; y < size[1]; y++) {
      const from = ((start[2] + z) * shape[1] + start[1] + y) * shape[0] + start[0]
      for (let x = 0; x < size[0]; x++, to++) if (mask[from + x] === value) inside[to] = 1
    }
  }
  return inside
}
