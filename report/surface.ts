/**
 * Distances between the surfaces of two masks: Hausdorff, its percentiles, average surface distance, surface Dice.
 * The numbers are MONAI 1.3's (`monai.metrics`, Euclidean, no sub-voxels), rounded to float32 where it rounds.
 */

import { distancesAt, expectSpacing, type Spacing } from '../imaging/distance-transform.ts'
import { edges, unionBox, type Mask } from '../imaging/edges.ts'
import { maskVoxels } from '../imaging/mask.ts'
import type { Mask as RunMask, Shape3 } from '../pipeline/stage.ts'

/**
 * What stands for a distance that does not exist. `monai`: where both masks are empty, null; where one is, Infinity, null
 * for a percentile (a quantile over infinities) and 0 for surface Dice. `strict`: both empty is perfect (0 mm, surface
 * Dice 1); one empty is a missed or invented lesion, which counts as the image's diagonal and as surface Dice 0.
 */
export type EmptyRule = 'strict' | 'monai'

/** Every edge voxel's distance to the other surface, both ways. */
export interface SurfaceDistances {
  /** mm from the prediction's edge voxels to the reference's surface, ascending. Empty where either mask is. */
  readonly toReference: Float32Array
  /** mm from the reference's edge voxels to the prediction's surface, ascending. Empty where either mask is. */
  readonly toPrediction: Float32Array
  /** How many of the two masks hold nothing of the class: 0, 1 or 2. */
  readonly emptyMasks: number
  /** mm from corner to corner of the image's voxels: more than any two of their centres are apart. */
  readonly diagonal: number
}

/**
 * Compares class `value` of two masks (z, y, x) of one grid: `shape` and `spacing` in mm along x, y, z, taken as
 * perpendicular. A surface is the mask's voxels with a face on something else or on the image's border. Everything
 * happens inside the box around both masks, in time linear in its voxels; about four bytes per voxel of it.
 * ERR_VOLUME for a spacing that is not three positive numbers.
 */
export function surfaceDistances(
  prediction: RunMask,
  reference: RunMask,
  options: { spacing: Spacing; value: number },
): Promise<SurfaceDistances>
export function surfaceDistances(
  prediction: Mask,
  reference: Mask,
  options: { shape: Shape3; spacing: Spacing; value: number },
): SurfaceDistances
export function surfaceDistances(
  prediction: Mask | RunMask,
  reference: Mask | RunMask,
  options: { shape?: Shape3; spacing: Spacing; value: number },
): SurfaceDistances | Promise<SurfaceDistances> {
  if ('runs' in prediction && 'runs' in reference) {
    const voxels = [maskVoxels(prediction), maskVoxels(reference)] as const
    return Promise.resolve(distancesOf(...voxels, { ...options, shape: prediction.shape }))
  }
  return distancesOf(
    prediction as Mask,
    reference as Mask,
    options as { shape: Shape3; spacing: Spacing; value: number },
  )
}

/** Most bytes that the distances of a pair take beside its masks. */
export function surfaceBytes([nx, ny, nz]: Shape3): number {
  // Both masks' voxels, their surfaces and the planes between them, and distances within a plane.
  return 6 * nx * ny * nz + 16 * nx * ny
}

function distancesOf(
  prediction: Mask,
  reference: Mask,
  { shape, spacing, value }: { shape: Shape3; spacing: Spacing; value: number },
): SurfaceDistances {
  expectSpacing(spacing)
  const voxels = shape[0] * shape[1] * shape[2]
  if (prediction.length !== voxels || reference.length !== voxels) {
    throw new RangeError(`expected masks of ${voxels} voxels, found ${prediction.length} and ${reference.length}`)
  }
  const diagonal = Math.hypot(...shape.map((n, axis) => n * spacing[axis]!))
  const none = new Float32Array(0)
  const box = unionBox([prediction, reference], shape, value)
  if (!box) return { toReference: none, toPrediction: none, emptyMasks: 2, diagonal }
  const found = edges(prediction, shape, box, value)
  const wanted = edges(reference, shape, box, value)
  // Any mask has edges, so a box whose one mask has none belongs to the other.
  if (!found.includes(1) || !wanted.includes(1)) {
    return { toReference: none, toPrediction: none, emptyMasks: 1, diagonal }
  }
  return {
    toReference: Float32Array.from(distancesAt(wanted, found, box.shape, spacing)).toSorted(),
    toPrediction: Float32Array.from(distancesAt(found, wanted, box.shape, spacing)).toSorted(),
    emptyMasks: 0,
    diagonal,
  }
}

/**
 * Hausdorff distance in mm: the largest distance, or the `percentile` (0 to 100) of each direction, whichever direction
 * has more. A percentile of 0 gives the largest distance, as in MONAI.
 */
export function hausdorff(
  distances: SurfaceDistances,
  { emptyRule, percentile = 0 }: { emptyRule: EmptyRule; percentile?: number },
): number | null {
  if (!(percentile >= 0 && percentile <= 100)) {
    throw new RangeError(`expected a percentile from 0 to 100, found ${percentile}`)
  }
  if (distances.emptyMasks > 0) return withoutSurface(distances, emptyRule, percentile === 0 ? Infinity : null)
  const lists = [distances.toReference, distances.toPrediction]
  return Math.max(...lists.map(list => (percentile === 0 ? list.at(-1)! : quantile(list, percentile / 100))))
}

/** Mean distance in mm over the edge voxels of both surfaces together: MONAI's, symmetric. */
export function averageSurfaceDistance(
  distances: SurfaceDistances,
  { emptyRule }: { emptyRule: EmptyRule },
): number | null {
  if (distances.emptyMasks > 0) return withoutSurface(distances, emptyRule, Infinity)
  const lists = [distances.toReference, distances.toPrediction]
  let [sum, count] = [0, 0]
  for (const list of lists) {
    for (let i = 0; i < list.length; i++) sum += list[i]!
    count += list.length
  }
  return sum / count
}

/**
 * Surface Dice, also called normalised surface Dice: the share of all edge voxels that are no farther than `tolerance`
 * mm from the other surface. Compared in float32, so that 1.6 mm of voxels 0.8 mm apart is within 1.6.
 */
export function surfaceDice(distances: SurfaceDistances, tolerance: number, emptyRule: EmptyRule): number | null {
  if (!(tolerance >= 0 && Number.isFinite(tolerance))) {
    throw new RangeError(`expected a tolerance of 0 mm or more, found ${tolerance}`)
  }
  if (distances.emptyMasks === 1) return 0
  if (distances.emptyMasks === 2) return emptyRule === 'monai' ? null : 1
  const { toReference, toPrediction } = distances
  const limit = Math.fround(tolerance)
  return (countUpTo(toReference, limit) + countUpTo(toPrediction, limit)) / (toReference.length + toPrediction.length)
}

export interface SurfaceMetricsOptions {
  readonly emptyRule: EmptyRule
  /** mm, one surface Dice each. */
  readonly tolerancesMm: readonly number[]
  /** Of the percentile Hausdorff distance. */
  readonly percentile: number
}

/** All of them by name: `hd`, `hd95` (as the percentile is), `assd`, and `nsd_1mm` for each tolerance. */
export function surfaceMetrics(
  distances: SurfaceDistances,
  { emptyRule, tolerancesMm, percentile }: SurfaceMetricsOptions,
): Record<string, number | null> {
  return {
    hd: hausdorff(distances, { emptyRule }),
    [`hd${percentile}`]: hausdorff(distances, { emptyRule, percentile }),
    assd: averageSurfaceDistance(distances, { emptyRule }),
    ...Object.fromEntries(tolerancesMm.map(mm => [`nsd_${mm}mm`, surfaceDice(distances, mm, emptyRule)])),
  }
}

/** A distance where at least one of the masks is empty. */
function withoutSurface(
  { emptyMasks, diagonal }: SurfaceDistances,
  emptyRule: EmptyRule,
  monaiOneEmpty: number | null,
): number | null {
  if (emptyRule === 'strict') return emptyMasks === 2 ? 0 : diagonal
  return emptyMasks === 2 ? null : monaiOneEmpty
}

/** torch.quantile with linear interpolation, in float32 like it: with 200,000 values the rank's rounding shows. */
function quantile(ascending: Float32Array, q: number): number {
  const last = ascending.length - 1
  const rank = Math.min(last, Math.fround(Math.fround(q) * Math.fround(last)))
  const below = ascending[Math.floor(rank)]!
  const above = ascending[Math.ceil(rank)]!
  return Math.fround(below + (rank - Math.floor(rank)) * (above - below))
}

/** How many values are at most `limit`. */
function countUpTo(ascending: Float32Array, limit: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! <= limit) low = middle + 1
    else high = middle
  }
  return low
}
