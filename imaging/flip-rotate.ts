/** Mirrors and quarter turns of voxels (z, y, x); `shape` is (x, y, z). */

import type { Shape3 } from '../pipeline/stage.ts'

/** A new array, mirrored along `axis` (0 = x, 1 = y, 2 = z). */
export function flip(voxels: Float32Array, shape: Shape3, axis: number): Float32Array {
  const [nx, ny, nz] = shape
  const flipped = new Float32Array(voxels.length)
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const from = ((axis === 2 ? nz - 1 - z : z) * ny + (axis === 1 ? ny - 1 - y : y)) * nx
      const row = voxels.subarray(from, from + nx)
      const to = (z * ny + y) * nx
      flipped.set(row, to)
      if (axis === 0) flipped.subarray(to, to + nx).reverse()
    }
  }
  return flipped
}

/**
 * A new array, turned by `turns` quarters from x towards y: numpy's rot90(a, turns, (0, 1)) on a[x, y, z]. The shape of
 * an odd turn is (y, x, z).
 */
export function rotate90(voxels: Float32Array, shape: Shape3, turns: number): Float32Array {
  const [nx, ny, nz] = shape
  const quarters = ((turns % 4) + 4) % 4
  if (quarters === 0) return voxels.slice()
  const [width, height] = quarters === 2 ? [nx, ny] : [ny, nx]
  // Where the first voxel of a plane comes from, and how far apart neighbours along the new x and y were.
  const [start, stepX, stepY] =
    quarters === 1
      ? [(ny - 1) * nx, -nx, 1] // out[i, j] = in[j, ny - 1 - i]
      : quarters === 2
        ? [nx * ny - 1, -1, -nx]
        : [nx - 1, nx, -1] // out[i, j] = in[nx - 1 - j, i]
  const turned = new Float32Array(voxels.length)
  let at = 0
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < height; y++) {
      let from = z * nx * ny + start + y * stepY
      for (let x = 0; x < width; x++, from += stepX) turned[at++] = voxels[from]!
    }
  }
  return turned
}
