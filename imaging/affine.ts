/**
 * Affine maps of three dimensions as 16 numbers, row-major, last row (0, 0, 0, 1). Voxel index (i, j, k) to millimetres
 * in RAS+ (NIfTI's world) where nothing else is said. All arithmetic in float64.
 */

import type { Grid, Shape3 } from '../pipeline/grid.ts'

export type Affine = readonly number[]
export type Point3 = readonly [number, number, number]

export const identity: Affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

/** a * b: first b, then a. */
export function multiply(a: Affine, b: Affine): number[] {
  const product = Array.from({ length: 16 }, () => 0)
  for (let row = 0; row < 4; row++) {
    for (let column = 0; column < 4; column++) {
      let sum = 0
      for (let k = 0; k < 4; k++) sum += a[row * 4 + k]! * b[k * 4 + column]!
      product[row * 4 + column] = sum
    }
  }
  return product
}

/** Where a point goes. */
export function apply(a: Affine, x: number, y: number, z: number): [number, number, number] {
  return [
    a[0]! * x + a[1]! * y + a[2]! * z + a[3]!,
    a[4]! * x + a[5]! * y + a[6]! * z + a[7]!,
    a[8]! * x + a[9]! * y + a[10]! * z + a[11]!,
  ]
}

/** Determinant of the linear part: the volume of a voxel in mm3, negative for left-handed axes. */
export function determinant(a: Affine): number {
  return (
    a[0]! * (a[5]! * a[10]! - a[6]! * a[9]!) -
    a[1]! * (a[4]! * a[10]! - a[6]! * a[8]!) +
    a[2]! * (a[4]! * a[9]! - a[5]! * a[8]!)
  )
}

/** The inverse map. A singular matrix gives non-finite numbers: readers refuse those before anything gets here. */
export function invert(a: Affine): number[] {
  const diagonal = [1, 2, 4, 6, 8, 9].every(i => a[i] === 0)
  // A product of reciprocals would round; for axis-aligned scans the plain reciprocal is exact where it can be.
  const m = diagonal ? [1 / a[0]!, 0, 0, 0, 1 / a[5]!, 0, 0, 0, 1 / a[10]!] : adjugateOverDeterminant(a)
  const [p, q, r] = [a[3]!, a[7]!, a[11]!]
  return [
    m[0]!,
    m[1]!,
    m[2]!,
    -(m[0]! * p + m[1]! * q + m[2]! * r),
    m[3]!,
    m[4]!,
    m[5]!,
    -(m[3]! * p + m[4]! * q + m[5]! * r),
    m[6]!,
    m[7]!,
    m[8]!,
    -(m[6]! * p + m[7]! * q + m[8]! * r),
    0,
    0,
    0,
    1,
  ]
}

function adjugateOverDeterminant(a: Affine): number[] {
  const det = determinant(a)
  return [
    a[5]! * a[10]! - a[6]! * a[9]!,
    a[2]! * a[9]! - a[1]! * a[10]!,
    a[1]! * a[6]! - a[2]! * a[5]!,
    a[6]! * a[8]! - a[4]! * a[10]!,
    a[0]! * a[10]! - a[2]! * a[8]!,
    a[2]! * a[4]! - a[0]! * a[6]!,
    a[4]! * a[9]! - a[5]! * a[8]!,
    a[1]! * a[8]! - a[0]! * a[9]!,
    a[0]! * a[5]! - a[1]! * a[4]!,
  ].map(cofactor => cofactor / det)
}

/** Distance of neighbouring voxels along each axis, mm: the norms of the columns. */
export function spacingOf(a: Affine): [number, number, number] {
  const norm = (column: number): number => Math.hypot(a[column]!, a[column + 4]!, a[column + 8]!)
  return [norm(0), norm(1), norm(2)]
}

/** The affine after the origin has moved to voxel `start`. */
export function translated(a: Affine, start: Point3): number[] {
  const [x, y, z] = apply(a, start[0], start[1], start[2])
  const moved = [...a]
  moved[3] = x
  moved[7] = y
  moved[11] = z
  return moved
}

/** Maps voxel indices of `target` to voxel indices of `source`. */
export function indexMap(target: Grid, source: Grid): number[] {
  return multiply(invert(source.affine), target.affine)
}

/** The eight corner voxels of a shape, x slowest, as numpy's meshgrid with indexing "ij" lists them. */
export function corners(shape: Shape3): Point3[] {
  const ends = shape.map(n => [0, n - 1])
  return ends[0]!.flatMap(x => ends[1]!.flatMap(y => ends[2]!.map((z): Point3 => [x, y, z])))
}

/**
 * The rotation (or rotation and mirror) nearest to the linear part with its columns scaled to one, row-major 3x3: the
 * polar factor by Newton's iteration (Higham, "Computing the polar decomposition - with applications", 1986). It is what
 * nibabel takes from a singular value decomposition.
 */
export function nearestRotation(a: Affine): number[] {
  const scale = spacingOf(a)
  let q = [0, 1, 2].flatMap(row => [0, 1, 2].map(column => a[row * 4 + column]! / (scale[column]! || 1)))
  for (let step = 0; step < 60; step++) {
    const inverse = adjugateOverDeterminant([q[0]!, q[1]!, q[2]!, 0, q[3]!, q[4]!, q[5]!, 0, q[6]!, q[7]!, q[8]!, 0])
    const next = q.map((value, i) => (value + inverse[(i % 3) * 3 + Math.floor(i / 3)]!) / 2)
    const change = Math.max(...next.map((value, i) => Math.abs(value - q[i]!)))
    q = next
    if (change < 1e-15) break
  }
  return q
}
