/** How far two masks overlap, and how their volumes differ. */

import { eachMeeting } from '../imaging/meeting-runs.ts'
import type { Mask } from '../pipeline/flow.ts'

/** Voxels of one class. */
export interface OverlapCounts {
  readonly predicted: number
  readonly reference: number
  /** In both masks. */
  readonly both: number
}

export interface OverlapOptions {
  /**
   * What a metric without meaning is. `monai`: null, where a denominator is 0, and for Dice and IoU wherever the
   * reference is empty. `strict`: a share is 1 where both masks are empty, else 0; an error of 0 ml is 0 %, one of a mask
   * whose reference is empty 100 %.
   */
  readonly emptyRule: 'strict' | 'monai'
  /** Millilitres in a voxel. */
  readonly voxelMl: number
}

/** A record, so that it can be a case's metrics as it is. */
export interface Overlap extends Readonly<Record<string, number | null>> {
  readonly dice: number | null
  /** Intersection over union. */
  readonly iou: number | null
  /** Share of the reference that was found. */
  readonly sensitivity: number | null
  /** Share of what was found that is in the reference. */
  readonly precision: number | null
  readonly predictedVoxels: number
  readonly referenceVoxels: number
  readonly predictedMl: number
  readonly referenceMl: number
  /** predicted - reference, ml. */
  readonly differenceMl: number
  readonly absoluteDifferenceMl: number
  /** The same in per cent of the reference. */
  readonly differencePercent: number | null
  readonly absoluteDifferencePercent: number | null
  /** Predicted where the reference is empty, ml; null where it is not. */
  readonly falsePositiveMl: number | null
}

/** Voxels by class, 0 to `classes` - 1, of two masks of one grid; the background is not counted. `pause` comes after each plane. */
export async function countOverlaps(
  prediction: Mask,
  reference: Mask,
  classes: number,
  pause: () => Promise<void>,
): Promise<OverlapCounts[]> {
  const [a, b] = [prediction.shape, reference.shape]
  if (a.some((n, axis) => n !== b[axis]))
    throw new RangeError(`expected masks of one size, found ${a.join(' x ')} and ${b.join(' x ')} voxels`)
  const counts = Array.from({ length: classes }, () => ({ predicted: 0, reference: 0, both: 0 }))
  for (let z = 0; z < b[2]; z++) {
    const [found, wanted] = [prediction.runs(z), reference.runs(z)]
    for (let i = 0; i < found.from.length; i++) counts[found.value[i]!]!.predicted += found.to[i]! - found.from[i]!
    for (let i = 0; i < wanted.from.length; i++) counts[wanted.value[i]!]!.reference += wanted.to[i]! - wanted.from[i]!
    eachMeeting(found, wanted, (i, j, voxels) => {
      if (found.value[i] === wanted.value[j]) counts[found.value[i]!]!.both += voxels
    })
    await pause()
  }
  return counts
}

export function overlapMetrics(
  { predicted, reference, both }: OverlapCounts,
  { emptyRule, voxelMl }: OverlapOptions,
): Overlap {
  const isMonai = emptyRule === 'monai'
  const undefinedRatio = isMonai ? null : predicted === 0 && reference === 0 ? 1 : 0
  const ratio = (over: number, under: number): number | null => (under === 0 ? undefinedRatio : over / under)
  const leftOut = isMonai && reference === 0
  const difference = predicted - reference
  const invented = isMonai ? null : predicted === 0 ? 0 : 100
  const percent = reference === 0 ? invented : (100 * difference) / reference
  return {
    dice: leftOut ? null : ratio(2 * both, predicted + reference),
    iou: leftOut ? null : ratio(both, predicted + reference - both),
    sensitivity: ratio(both, reference),
    precision: ratio(both, predicted),
    predictedVoxels: predicted,
    referenceVoxels: reference,
    predictedMl: predicted * voxelMl,
    referenceMl: reference * voxelMl,
    differenceMl: difference * voxelMl,
    absoluteDifferenceMl: Math.abs(difference) * voxelMl,
    differencePercent: percent,
    absoluteDifferencePercent: percent === null ? null : Math.abs(percent),
    falsePositiveMl: reference === 0 ? predicted * voxelMl : null,
  }
}
