/**
 * Sliding windows over the planes of a volume that are at hand, off the main thread as in voxels.ts. Planes (y, x) lie in
 * rings: plane z at z % depth. The bits are the same on every processor.
 */

import { loadAddon } from './addon.ts'

/** The addon's calls. place = [nx, ny, depth, x, y, z, wx, wy, wz, flips] */
export interface WindowCalls {
  takeWindow(planes: Float32Array, to: Float32Array, place: readonly number[]): Promise<boolean>
  addWindow(
    logits: Float32Array,
    importance: Float32Array | null,
    sums: Float32Array,
    weights: Float32Array | null,
    place: readonly number[],
    classes: number,
  ): Promise<void>
  /** shape = [nx, ny, depth, z, planes, classes, means] */
  finishPlanes(
    sums: Float32Array,
    weights: Float32Array | null,
    counts: Float32Array | null,
    to: Float32Array,
    shape: readonly number[],
  ): Promise<boolean>
  maskPlane(maps: readonly Float32Array[], to: Uint8Array): Promise<void>
}

/** A ring's extents. */
export interface Ring {
  readonly nx: number
  readonly ny: number
  readonly depth: number
}

/** A window's extents and its first voxel in the volume, x, y, z; bits 0, 1, 2 of `flips` mirror it along x, y, z. */
export interface WindowPlace {
  readonly start: readonly [x: number, y: number, z: number]
  readonly window: readonly [x: number, y: number, z: number]
  readonly flips: number
}

/** Copies a window (z, y, x), mirrored, out of a ring of planes. True where all its voxels have the same bits. */
export function takeWindow(planes: Float32Array, ring: Ring, place: WindowPlace, to: Float32Array): Promise<boolean> {
  return loadAddon().takeWindow(planes, to, placeOf(ring, place))
}

/** Channels of the sums: two classes need one, the difference of their logits, second - first; else one per class. */
export function sumChannels(classes: number): number {
  return classes === 2 ? 1 : classes
}

/** How many windows cover each x, y and z of a volume; a voxel is covered by the product of the three. */
export interface Coverage {
  readonly x: Float32Array
  readonly y: Float32Array
  readonly z: Float32Array
}

/** Sums over the planes of a ring: `sums` (channel, depth, y, x) and `weights` (depth, y, x), or what tells the weights. */
export interface WindowSums {
  readonly ring: Ring
  readonly classes: number
  readonly sums: Float32Array
  readonly weights: Float32Array | Coverage
}

/** Sums that are nothing yet; with a coverage for windows that are not weighted. */
export function windowSums(ring: Ring, classes: number, coverage?: Coverage): WindowSums {
  const size = ring.nx * ring.ny * ring.depth
  const sums = new Float32Array(size * sumChannels(classes))
  return { ring, classes, sums, weights: coverage ?? new Float32Array(size) }
}

/**
 * Adds the logits (z, y, x, class) of a mirrored window, weighted by `importance` (z, y, x), which is not mirrored; not
 * weighted, and `importance` not looked at, where a coverage tells the weights.
 */
export function addWindow(
  { ring, classes, sums, weights }: WindowSums,
  place: WindowPlace,
  logits: Float32Array,
  importance?: Float32Array,
): Promise<void> {
  const isWeighted = weights instanceof Float32Array
  return loadAddon().addWindow(
    logits,
    isWeighted ? importance! : null,
    sums,
    isWeighted ? weights : null,
    placeOf(ring, place),
    classes,
  )
}

/**
 * What becomes of weighted means of logits. `logits`: nothing, there are as many maps as channels. `probabilities`: soft-max,
 * a map per class. `margin`, of two classes: the probability of the second less that of the first, one map. A map's sign
 * survives zeros around it and interpolation, where the probability itself would have to be compared with the other one.
 */
export type Means = 'logits' | 'probabilities' | 'margin'

const meansInOrder: readonly Means[] = ['logits', 'probabilities', 'margin']

/** Maps that are made. */
export function mapsOf(means: Means, classes: number): number {
  return means === 'logits' ? sumChannels(classes) : means === 'margin' ? 1 : classes
}

/**
 * Takes the weighted means of the planes from z on and puts what becomes of them into `to` (map, planes, y, x). The planes'
 * sums and weights are zeros then. False, and all unfinished, where a mean is not finite.
 */
export function finishPlanes(
  { ring, classes, sums, weights }: WindowSums,
  z: number,
  planes: number,
  to: Float32Array,
  means: Means,
): Promise<boolean> {
  const shape = [ring.nx, ring.ny, ring.depth, z, planes, classes, meansInOrder.indexOf(means)]
  if (weights instanceof Float32Array) return loadAddon().finishPlanes(sums, weights, null, to, shape)
  const counts = Float32Array.of(...weights.x, ...weights.y, ...weights.z.subarray(z, z + planes))
  return loadAddon().finishPlanes(sums, null, counts, to, shape)
}

/** The class of the highest value at each place, the lower one of equals; of one map, a margin, whether it is above 0. */
export function maskPlane(maps: readonly Float32Array[], to: Uint8Array): Promise<void> {
  return loadAddon().maskPlane(maps, to)
}

function placeOf({ nx, ny, depth }: Ring, { start, window, flips }: WindowPlace): number[] {
  return [nx, ny, depth, ...start, ...window, flips]
}
