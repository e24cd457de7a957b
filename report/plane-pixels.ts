/** From the voxels of a plane to the pixels of its picture. */

import type { ViewAxis } from '../imaging/three-planes.ts'

/** Where a pixel is along one axis of a plane's array. */
export interface Sample {
  /** The voxels before and behind its centre, as offsets in the array, and how far it is from the first one. */
  readonly low: number
  readonly high: number
  readonly share: number
  /** Voxels whose centres it covers; the nearest one where it covers none. */
  readonly covered: readonly number[]
}

/** Where `pixels` pixels are that cover an axis, or that part of it, counted in voxels as the picture runs. */
export function samples(
  { voxels, stride, isReversed }: ViewAxis,
  pixels: number,
  { from, length }: { readonly from: number; readonly length: number } = { from: 0, length: voxels },
): Sample[] {
  const offset = (i: number): number => (isReversed ? voxels - 1 - i : i) * stride
  const inside = (i: number): number => Math.min(Math.max(i, 0), voxels - 1)
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = inside(from + ((pixel + 0.5) * length) / pixels - 0.5)
    const low = Math.floor(centre)
    const first = Math.ceil(from + (pixel * length) / pixels - 0.5)
    const end = Math.ceil(from + ((pixel + 1) * length) / pixels - 0.5)
    const covered = Array.from({ length: end - first }, (_, i) => offset(inside(first + i)))
    return {
      low: offset(low),
      high: offset(inside(low + 1)),
      share: centre - low,
      covered: covered.length > 0 ? covered : [offset(inside(Math.round(centre)))],
    }
  })
}

/** The value at a pixel's centre, linear between the four voxels around it. */
export function between(plane: Float32Array, column: Sample, row: Sample): number {
  const along = (offset: number): number => {
    const low = plane[offset + column.low]!
    return column.share === 0 ? low : low + column.share * (plane[offset + column.high]! - low)
  }
  const low = along(row.low)
  return row.share === 0 ? low : low + row.share * (along(row.high) - low)
}

/** The class of each pixel: the highest of the voxels that it covers, so that nothing is too small to be seen. */
export function classesOf(plane: Uint8Array, columns: readonly Sample[], rows: readonly Sample[]): Uint8Array {
  const labels = new Uint8Array(columns.length * rows.length)
  let at = 0
  for (const row of rows) {
    for (const column of columns) {
      let highest = 0
      for (const v of row.covered) for (const u of column.covered) highest = Math.max(highest, plane[u + v]!)
      labels[at++] = highest
    }
  }
  return labels
}

/** A value in a window as 0 to 255; what is no number is black. */
export function greyOf(value: number, [low, high]: readonly [low: number, high: number]): number {
  return value > low ? Math.round((255 * (Math.min(value, high) - low)) / (high - low)) : 0
}
