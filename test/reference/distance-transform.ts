/**
 * The exact Euclidean distance transform, axis by axis (Felzenszwalb and Huttenlocher, "Distance transforms of sampled
 * functions", 2012), in time linear in the number of voxels. Arithmetic is float64; between the axes only whole planes
 * are counted, so that a volume costs two bytes per voxel.
 */

import type { Shape3 } from '../../pipeline/grid.ts'
import type { Spacing } from '../../report/surface.ts'

/**
 * Distance in mm from the centre of each non-zero voxel of `wanted` (z, y, x), in their order, to the centre of the nearest
 * non-zero voxel of `features`; Infinity where there are none.
 */
export function distancesAt(features: Uint8Array, wanted: Uint8Array, shape: Shape3, spacing: Spacing): Float64Array {
  const [nx, ny, nz] = shape
  const area = nx * ny
  if (features.length !== area * nz || wanted.length !== features.length) {
    throw new RangeError(`expected ${area * nz} voxels, found ${features.length} and ${wanted.length}`)
  }
  const gaps = planesToNearest(features, shape)
  const far = farthest(gaps)
  const distances = new Float64Array(countNonZero(wanted))
  const squared = new Float64Array(area)
  const line = new Float64Array(Math.max(nx, ny))
  const envelope = lowerEnvelope(line.length)
  let found = 0
  for (let z = 0; z < nz; z++) {
    const plane = wanted.subarray(z * area, (z + 1) * area)
    const columns = nonZeroColumns(plane, nx)
    if (columns.length === 0) continue
    for (let y = 0, i = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        const gap = gaps[z * area + i + x]!
        line[x] = gap === far ? Infinity : (gap * spacing[2]) ** 2
      }
      envelope(line, nx, spacing[0], squared, i, 1)
      i += nx
    }
    for (const x of columns) {
      for (let y = 0; y < ny; y++) line[y] = squared[y * nx + x]!
      envelope(line, ny, spacing[1], squared, x, nx)
    }
    for (let i = 0; i < area; i++) if (plane[i] !== 0) distances[found++] = Math.sqrt(squared[i]!)
  }
  return distances
}

/**
 * For lines of up to `longest` values: writes min over q of values[q] + (spacing (p - q))^2 for every p, to
 * `out[at + p * stride]`. A parabola stands on each finite value; `roots` are those of the lower envelope from left to
 * right, and each is the lowest from `starts` to the next one's start.
 */
function lowerEnvelope(
  longest: number,
): (values: Float64Array, n: number, spacing: number, out: Float64Array, at: number, stride: number) => void {
  const roots = new Int32Array(longest)
  const starts = new Float64Array(longest + 1)
  return (values, n, spacing, out, at, stride) => {
    const halfOverSquare = 0.5 / (spacing * spacing)
    let last = -1
    for (let q = 0; q < n; q++) {
      const height = values[q]!
      if (height === Infinity) continue
      let start = -Infinity
      for (; last >= 0; last--) {
        const root = roots[last]!
        start = ((height - values[root]!) / (q - root)) * halfOverSquare + (q + root) / 2
        if (start > starts[last]!) break
      }
      last++
      roots[last] = q
      starts[last] = last === 0 ? -Infinity : start
    }
    starts[last + 1] = Infinity
    for (let p = 0, lowest = 0, to = at; p < n; p++, to += stride) {
      if (last < 0) {
        out[to] = Infinity
        continue
      }
      while (starts[lowest + 1]! < p) lowest++
      const root = roots[lowest]!
      out[to] = values[root]! + (spacing * (p - root)) ** 2
    }
  }
}

type Gaps = Uint16Array | Uint32Array

/** Planes from each voxel to the nearest feature of its column along z; the largest number that fits where there is none. */
function planesToNearest(features: Uint8Array, [nx, ny, nz]: Shape3): Gaps {
  const gaps = nz < 0xffff ? new Uint16Array(features.length) : new Uint32Array(features.length)
  const far = farthest(gaps)
  const area = nx * ny
  for (let i = 0; i < gaps.length; i++) {
    gaps[i] = features[i] !== 0 ? 0 : i < area ? far : Math.min(far, gaps[i - area]! + 1)
  }
  for (let i = gaps.length - area - 1; i >= 0; i--) gaps[i] = Math.min(gaps[i]!, gaps[i + area]! + 1)
  return gaps
}

function farthest(gaps: Gaps): number {
  return gaps.BYTES_PER_ELEMENT === 2 ? 0xffff : 0xffffffff
}

function countNonZero(values: Uint8Array): number {
  let count = 0
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) count++
  return count
}

function nonZeroColumns(plane: Uint8Array, nx: number): number[] {
  const any = new Uint8Array(nx)
  for (let i = 0, x = 0; i < plane.length; i++) {
    if (plane[i] !== 0) any[x] = 1
    if (++x === nx) x = 0
  }
  return [...any.keys()].filter(x => any[x] === 1)
}
