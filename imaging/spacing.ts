/** The grid that a change of spacing leads to: MONAI's `Spacing` (1.x), `zoom_affine` and `compute_shape_offset`. */

import type { Grid, Shape3 } from '../pipeline/grid.ts'
import { apply, corners, invert, multiply, spacingOf } from './affine.ts'

/** Spacings closer than this, mm, count as equal (MONAI's AFFINE_TOL). */
const tolerance = 1e-3

/**
 * The grid of a volume resampled to `spacing` (mm along x, y, z; a value <= 0 keeps that axis). Rotation and flips stay,
 * shear is dropped. The first voxel keeps its place; what lies past the last whole step is lost, up to almost one voxel.
 */
export function spacedGrid(grid: Grid, spacing: readonly [number, number, number]): Grid {
  const own = spacingOf(grid.affine)
  const wanted = spacing.map((length, axis) =>
    length > 0 && Math.abs(length - own[axis]!) > tolerance ? length : own[axis]!,
  )
  const linear = zoomed(grid.affine, wanted)
  // Corners of the box of voxel centres, in the world and on the new axes.
  const toNew = multiply(invert(linear), grid.affine)
  const boxed = corners(grid.shape)
  const onNewAxes = boxed.map(([x, y, z]) => apply(toNew, x, y, z))
  const shape = [0, 1, 2].map(axis => {
    const along = onNewAxes.map(point => point[axis]!)
    return roundHalfEven(Math.max(...along) - Math.min(...along) + 1)
  }) as unknown as Shape3
  // The new origin is the first corner that no other corner lies before.
  const first = onNewAxes.findIndex(corner =>
    [0, 1, 2].every(axis => Math.abs(Math.min(...onNewAxes.map(point => point[axis]! - corner[axis]!))) <= 1e-8),
  )
  const origin = first >= 0 ? apply(grid.affine, ...boxed[first]!) : centred(grid, linear, shape)
  const affine = [...linear]
  affine[3] = origin[0]
  affine[7] = origin[1]
  affine[11] = origin[2]
  return { shape, affine }
}

/**
 * numpy's round: halves to the even neighbour. Extents carry rounding of the inverse, and halves are common (2.5 mm to
 * 5 mm), so what is within 1e-9 of a half is a half.
 */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const over = value - floor - 0.5
  if (Math.abs(over) > 1e-9) return over < 0 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/** `zoom_affine`, not diagonal: the rotation of A from the Cholesky factor of A^T A, times the new lengths. */
function zoomed(affine: readonly number[], spacing: readonly number[]): number[] {
  const a = (row: number, column: number): number => affine[row * 4 + column]!
  const gram = (i: number, j: number): number => a(0, i) * a(0, j) + a(1, i) * a(1, j) + a(2, i) * a(2, j)
  // Upper triangular U with U^T U = A^T A: zooms on the diagonal, shears above.
  const u00 = Math.sqrt(gram(0, 0))
  const u01 = gram(0, 1) / u00
  const u02 = gram(0, 2) / u00
  const u11 = Math.sqrt(gram(1, 1) - u01 * u01)
  const u12 = (gram(1, 2) - u01 * u02) / u11
  const u22 = Math.sqrt(gram(2, 2) - u02 * u02 - u12 * u12)
  // R = A U^-1, column by column.
  const linear: number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  for (let row = 0; row < 3; row++) {
    const r0 = a(row, 0) / u00
    const r1 = (a(row, 1) - r0 * u01) / u11
    const r2 = (a(row, 2) - r0 * u02 - r1 * u12) / u22
    linear[row * 4] = r0 * spacing[0]!
    linear[row * 4 + 1] = r1 * spacing[1]!
    linear[row * 4 + 2] = r2 * spacing[2]!
  }
  return linear
}

/** Sheared grids have no such corner: the middles of both boxes coincide. */
function centred(grid: Grid, linear: readonly number[], shape: Shape3): [number, number, number] {
  const old = apply(grid.affine, grid.shape[0] / 2, grid.shape[1] / 2, grid.shape[2] / 2)
  const moved = apply(linear, shape[0] / 2, shape[1] / 2, shape[2] / 2)
  return [old[0] - moved[0], old[1] - moved[1], old[2] - moved[2]]
}
