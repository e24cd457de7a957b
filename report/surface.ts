/**
 * Distances between the surfaces of two masks: Hausdorff, its percentiles, average surface distance, surface Dice.
 * The numbers are MONAI 1.3's (`monai.metrics`, Euclidean, no sub-voxels), rounded to float32 where it rounds.
 */

import { classBits, classBox } from '../imaging/class-box.ts'
import { distancesBetween, distancesBytes, rowWords, type BitMask } from '../native/surface.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Mask } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'

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

/** Millimetres between neighbouring voxels along x, y, z. */
export type Spacing = readonly [number, number, number]

/**
 * Compares class `value` (1 to 255) of two masks of one grid; `spacing` in mm along x, y, z, taken as perpendicular. A surface
 * is the mask's voxels with a face on something else or on the image's border. Everything happens inside the box around
 * both masks, in time linear in its voxels, on two threads of libuv's pool; the masks may be closed when the promise has
 * settled. The same bits on every processor. ERR_VOLUME for a spacing that is not three positive numbers, and for a mask
 * with more than `mostSurfaceVoxels`.
 */
export async function surfaceDistances(
  prediction: Mask,
  reference: Mask,
  { spacing, value }: { spacing: Spacing; value: number },
): Promise<SurfaceDistances> {
  expectSpacing(spacing)
  if (!(value >= 1 && value <= 255)) throw new RangeError(`expected a class from 1 to 255, found ${value}`)
  const { shape } = prediction
  if (shape.join() !== reference.shape.join()) {
    throw new RangeError(`expected masks of one shape, found ${shape.join(' x ')} and ${reference.shape.join(' x ')}`)
  }
  const diagonal = Math.hypot(...shape.map((n, axis) => n * spacing[axis]!))
  const none = new Float32Array(0)
  const box = await classBox([prediction, reference], value)
  if (!box) return { toReference: none, toPrediction: none, emptyMasks: 2, diagonal }
  const found = await classBits(prediction, box, value)
  const wanted = await classBits(reference, box, value)
  const most = mostSurfaceVoxels(shape)
  const between = async (from: BitMask, to: BitMask, name: string): Promise<Float32Array> => {
    const distances = await distancesBetween(from, to, spacing, most)
    if (typeof distances !== 'number') return distances
    throw new PipelineError(
      'ERR_VOLUME',
      `the ${name} of class ${value} is too ragged for distances: expected at most ${most} surface voxels in ${shape.join(' x ')}, found ${distances}; is it a mask? Leave distances out with "surface": false`,
      { found: distances, most },
    )
  }
  const [toReference, toPrediction] = await Promise.all([
    between(found, wanted, 'mask'),
    between(wanted, found, 'reference'),
  ])
  // Any mask has edges, so where there are no distances the box belongs to one of them alone.
  return { toReference, toPrediction, emptyMasks: toReference.length === 0 ? 1 : 0, diagonal }
}

/**
 * Surface voxels that a mask may have. Four bytes are needed for each, and noise would have as many as it has voxels: memory
 * for that would be claimed for every case.
 */
function mostSurfaceVoxels([nx, ny, nz]: Shape3): number {
  return Math.max(1 << 22, Math.ceil((nx * ny * nz) / 8))
}

/** Most bytes that `surfaceDistances` holds, and what it gives, for masks of `shape`; each call on its way holds as much. */
export function surfaceBytes(shape: Shape3): number {
  const [nx, ny, nz] = shape
  const bits = 4 * rowWords(nx) * ny * nz
  return 2 * (bits + distancesBytes(shape) + 4 * Math.min(nx * ny * nz, mostSurfaceVoxels(shape)))
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

function expectSpacing(spacing: Spacing): void {
  if (spacing.length === 3 && spacing.every(mm => mm > 0 && Number.isFinite(mm))) return
  throw new PipelineError('ERR_VOLUME', `expected a spacing of three positive numbers, found [${spacing.join(', ')}]`, {
    spacing,
  })
}
