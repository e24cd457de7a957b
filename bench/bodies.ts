/** Masks to measure with. */

import type { Shape3 } from '../pipeline/grid.ts'

/** In voxels. */
export interface Ellipsoid {
  readonly centre: readonly number[]
  readonly radii: readonly number[]
}

/** A mask (z, y, x) with wavy ellipsoids, all shifted along each axis and blown up by so many voxels. */
export function voxelsOf(shape: Shape3, bodies: readonly Ellipsoid[], shift = 0, grown = 0): Uint8Array {
  const [nx, ny, nz] = shape
  const mask = new Uint8Array(nx * ny * nz)
  for (const { centre, radii } of bodies) {
    const reach = radii.map(r => Math.ceil(1.1 * (r + grown)))
    const [from, to] = [-1, 1].map(side =>
      centre.map((c, axis) => Math.min(shape[axis]! - 1, Math.max(0, Math.round(c + shift + side * reach[axis]!)))),
    )
    for (let z = from![2]!; z <= to![2]!; z++) {
      for (let y = from![1]!; y <= to![1]!; y++) {
        for (let x = from![0]!; x <= to![0]!; x++) {
          const r = [x, y, z].map((at, axis) => (at - centre[axis]! - shift) / (radii[axis]! + grown))
          const wave = 1 + 0.04 * Math.sin(0.31 * x) * Math.sin(0.23 * y) * Math.sin(0.41 * z)
          if (r[0]! ** 2 + r[1]! ** 2 + r[2]! ** 2 <= wave) mask[(z * ny + y) * nx + x] = 1
        }
      }
    }
  }
  return mask
}
