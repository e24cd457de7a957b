/** Whether two grids lie upon each other. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid } from '../pipeline/grid.ts'
import { apply, corners } from './affine.ts'

/**
 * Millimetres that corners may be apart. Files of one scan differ by this much where one keeps its geometry as a
 * float32 quaternion; a voxel of a chest CT is five times larger, so a grid that is off by half of one is still noticed.
 */
export const defaultToleranceMm = 0.1

export interface GridDifference {
  readonly isSameShape: boolean
  /** The farthest that corresponding corners are apart, mm, along the world's x, y, z. */
  readonly perAxisMm: readonly [number, number, number]
  /** The same as a distance. */
  readonly farthestMm: number
}

/** How two grids differ; corners are compared by index, so a different shape shows in both. */
export function gridDifference(a: Grid, b: Grid): GridDifference {
  const other = corners(b.shape)
  const perAxisMm: [number, number, number] = [0, 0, 0]
  let farthestMm = 0
  corners(a.shape).forEach((corner, i) => {
    const [p, q] = [apply(a.affine, ...corner), apply(b.affine, ...other[i]!)]
    for (const axis of [0, 1, 2] as const) perAxisMm[axis] = Math.max(perAxisMm[axis], Math.abs(p[axis] - q[axis]))
    farthestMm = Math.max(farthestMm, Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]))
  })
  return { isSameShape: a.shape.every((n, axis) => n === b.shape[axis]), perAxisMm, farthestMm }
}

/** ERR_GEOMETRY, with numbers, unless both grids have one shape and their corners are at most `toleranceMm` apart. */
export function expectSameGrid(
  expected: Grid,
  found: Grid,
  names: { expected: string; found: string },
  toleranceMm = defaultToleranceMm,
): void {
  const { isSameShape, perAxisMm, farthestMm } = gridDifference(expected, found)
  if (isSameShape && farthestMm <= toleranceMm) return
  const mm = perAxisMm.map(distance => +distance.toPrecision(4)).join(', ')
  throw new PipelineError(
    'ERR_GEOMETRY',
    `${names.found}: expected the grid of ${names.expected}, ${expected.shape.join(' x ')} voxels, found ${found.shape.join(' x ')}, corners up to ${mm} mm apart along x, y, z (allowed: ${toleranceMm} mm); resample one of them to the other's grid, or correct its header`,
    { expected: expected.shape, found: found.shape, perAxisMm, farthestMm, toleranceMm },
  )
}
