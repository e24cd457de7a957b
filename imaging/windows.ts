/** Covering a volume with windows: MONAI's `sliding_window_inference`, `dense_patch_slices`, `compute_importance_map`. */

import type { Shape3 } from '../pipeline/grid.ts'
import { paddingTo, type Padding } from './pad.ts'

export type Blend = 'constant' | 'gaussian'

/**
 * First voxels of the windows along one axis, ascending; the last one ends with the image. `image` >= `window`, and
 * 0 <= `overlap` < 1. The step is window * (1 - overlap), cut to an integer as Python's int() does, and at least 1; a
 * window as long as the image has one place, whatever the overlap.
 */
export function windowStarts(image: number, window: number, overlap: number): number[] {
  const interval = intervalOf(image, window, overlap)
  const starts: number[] = []
  for (let start = 0; ; start += interval) {
    starts.push(Math.min(start, image - window))
    if (start + window >= image) return starts
  }
}

function intervalOf(image: number, window: number, overlap: number): number {
  return window === image ? window : Math.max(1, Math.floor(window * (1 - overlap)))
}

/** How many windows `windowRows` gives, for images of any extent: a header may promise more than can be listed. */
export function windowCount(image: Shape3, window: Shape3, overlap: number | readonly number[]): number {
  return window.reduce((count, n, axis) => {
    const interval = intervalOf(image[axis]!, n, shareOf(overlap, axis))
    return count * (Math.ceil((image[axis]! - n) / interval) + 1)
  }, 1)
}

/** The window itself, with the image's extent where it has 0. */
export function windowFor(image: Shape3, window: Shape3): Shape3 {
  return window.map((n, axis) => (n === 0 ? image[axis]! : n)) as unknown as Shape3
}

/** Windows of one z. */
export interface WindowRow {
  readonly z: number
  /** First voxels, y slower than x. */
  readonly starts: readonly Shape3[]
}

/** First voxels of all windows, by ascending z: those that need the first planes come first. `overlap` for all axes or x, y, z. */
export function windowRows(image: Shape3, window: Shape3, overlap: number | readonly number[]): WindowRow[] {
  const [xs, ys, zs] = [0, 1, 2].map(axis => windowStarts(image[axis]!, window[axis]!, shareOf(overlap, axis))) as [
    number[],
    number[],
    number[],
  ]
  return zs.map(z => ({ z, starts: ys.flatMap(y => xs.map((x): Shape3 => [x, y, z])) }))
}

/** How many of all windows cover each x, y and z, `views` times in z: whole numbers, exact to 2^24. */
export function coverageOf(
  image: Shape3,
  window: Shape3,
  overlap: number | readonly number[],
  views: number,
): { readonly x: Float32Array; readonly y: Float32Array; readonly z: Float32Array } {
  const [x, y, z] = image.map((n, axis) => {
    const counts = new Float32Array(n)
    for (const start of windowStarts(n, window[axis]!, shareOf(overlap, axis)))
      for (let i = start; i < start + window[axis]!; i++) counts[i]! += axis === 2 ? views : 1
    return counts
  })
  return { x: x!, y: y!, z: z! }
}

/** Planes from the first of a row of windows to the first of the next one, at most. */
export function largestStep(image: Shape3, window: Shape3, overlap: number | readonly number[]): number {
  const [planes, depth] = [image[2], window[2]]
  return Math.min(intervalOf(planes, depth, shareOf(overlap, 2)), planes - depth)
}

function shareOf(overlap: number | readonly number[], axis: number): number {
  return typeof overlap === 'number' ? overlap : overlap[axis]!
}

/** What an image smaller than the window gets around it, the smaller half in front; MONAI fills it with 0. */
export function windowPadding(image: Shape3, window: Shape3): Padding {
  return paddingTo(image, window, 'symmetric')
}

/**
 * Weights of a window's voxels (z, y, x). `gaussian`: exp(-x^2 / (2 (sigma n)^2)) around the middle of each axis of n
 * voxels, multiplied, and no less than 0.001; float32 as in MONAI.
 */
export function importanceMap(window: Shape3, blend: Blend, sigma = 0.125): Float32Array {
  const [nx, ny, nz] = window
  const map = new Float32Array(nx * ny * nz).fill(1)
  if (blend === 'constant') return map
  const [wx, wy, wz] = window.map(n => bell(n, sigma)) as [Float32Array, Float32Array, Float32Array]
  let least = Infinity
  let at = 0
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        const weight = Math.fround(Math.fround(wx[x]! * wy[y]!) * wz[z]!)
        if (weight < least) least = weight
        map[at++] = weight
      }
    }
  }
  const floor = Math.fround(Math.max(least, 1e-3))
  return map.map(weight => (weight < floor ? floor : weight))
}

function bell(n: number, sigma: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.exp((i - (n - 1) / 2) ** 2 / (-2 * (sigma * n) ** 2)))
}
