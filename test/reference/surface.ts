/** Surfaces and the distances between them as their definitions say, every voxel with every other, in float64. */

import type { Shape3 } from '../../pipeline/grid.ts'
import { distancesAt } from './distance-transform.ts'
import { edges, unionBox } from './edges.ts'

type Point = readonly [number, number, number]

/** Indices of the voxels (z, y, x) of class `value` with a face on another value or on the image's border. */
export function edgePoints(mask: ArrayLike<number>, [nx, ny, nz]: Shape3, value: number): Point[] {
  const inside = (x: number, y: number, z: number): boolean =>
    x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz && mask[(z * ny + y) * nx + x] === value
  const points: Point[] = []
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        if (!inside(x, y, z)) continue
        const faces = [
          inside(x - 1, y, z),
          inside(x + 1, y, z),
          inside(x, y - 1, z),
          inside(x, y + 1, z),
          inside(x, y, z - 1),
          inside(x, y, z + 1),
        ]
        if (faces.includes(false)) points.push([x, y, z])
      }
    }
  }
  return points
}

/** mm from each point to the nearest of `others`; Infinity where there are none. */
export function nearest(points: readonly Point[], others: readonly Point[], spacing: Point): number[] {
  return points.map(from =>
    others.reduce(
      (least, to) => Math.min(least, Math.hypot(...from.map((at, axis) => (at - to[axis]!) * spacing[axis]!))),
      Infinity,
    ),
  )
}

/** The value below which a share `q` of the values lies, interpolated linearly between the two it falls between. */
export function quantile(values: readonly number[], q: number): number {
  const ascending = values.toSorted((a, b) => a - b)
  const rank = q * (ascending.length - 1)
  const below = ascending[Math.floor(rank)]!
  return below + (rank % 1) * (ascending[Math.ceil(rank)]! - below)
}

export interface ReferenceDistances {
  readonly toReference: readonly number[]
  readonly toPrediction: readonly number[]
}

export function referenceDistances(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  shape: Shape3,
  spacing: Point,
): ReferenceDistances {
  const [found, wanted] = [prediction, reference].map(mask => edgePoints(mask, shape, 1)) as [Point[], Point[]]
  return { toReference: nearest(found, wanted, spacing), toPrediction: nearest(wanted, found, spacing) }
}

/** The distances by a whole transform of the box, ascending float32, to the bit what native code gives; class 1. */
export function transformedDistances(
  prediction: Uint8Array,
  reference: Uint8Array,
  shape: Shape3,
  spacing: Point,
): { readonly toReference: Float32Array; readonly toPrediction: Float32Array } {
  const box = unionBox([prediction, reference], shape, 1)
  if (!box) return { toReference: new Float32Array(0), toPrediction: new Float32Array(0) }
  const [found, wanted] = [prediction, reference].map(mask => edges(mask, shape, box, 1)) as [Uint8Array, Uint8Array]
  const distances = (features: Uint8Array, from: Uint8Array): Float32Array =>
    features.includes(1)
      ? Float32Array.from(distancesAt(features, from, box.shape, spacing)).toSorted()
      : new Float32Array(0)
  return { toReference: distances(wanted, found), toPrediction: distances(found, wanted) }
}

export function referenceHausdorff({ toReference, toPrediction }: ReferenceDistances, q: number): number {
  return Math.max(quantile(toReference, q), quantile(toPrediction, q))
}

export function referenceAssd({ toReference, toPrediction }: ReferenceDistances): number {
  const all = [...toReference, ...toPrediction]
  return all.reduce((sum, mm) => sum + mm, 0) / all.length
}

export function referenceSurfaceDice({ toReference, toPrediction }: ReferenceDistances, tolerance: number): number {
  const all = [...toReference, ...toPrediction]
  return all.filter(mm => mm <= tolerance).length / all.length
}
