/** How far two masks overlap. */

export interface OverlapOptions {
  /** The class compared; every other value is background. */
  readonly value: number
  /**
   * What a metric without meaning is. `monai`: null, where a denominator is 0, and for Dice and IoU wherever the
   * reference is empty. `strict`: 1 where both masks are empty, else 0.
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
}

/** Compares two masks of one grid, voxel by voxel; the order of voxels does not matter as long as it is the same. */
export function overlap(
  prediction: Uint8Array | Float32Array,
  reference: Uint8Array | Float32Array,
  options: OverlapOptions,
): Overlap {
  if (prediction.length !== reference.length) {
    throw new RangeError(`expected masks of one size, found ${prediction.length} and ${reference.length} voxels`)
  }
  const { value, emptyRule, voxelMl } = options
  let [found, wanted, both] = [0, 0, 0]
  for (let i = 0; i < prediction.length; i++) {
    const isFound = prediction[i] === value
    const isWanted = reference[i] === value
    if (isFound) found++
    if (isWanted) wanted++
    if (isFound && isWanted) both++
  }
  const undefinedRatio = emptyRule === 'monai' ? null : found === 0 && wanted === 0 ? 1 : 0
  const ratio = (over: number, under: number): number | null => (under === 0 ? undefinedRatio : over / under)
  const leftOut = emptyRule === 'monai' && wanted === 0
  return {
    dice: leftOut ? null : ratio(2 * both, found + wanted),
    iou: leftOut ? null : ratio(both, found + wanted - both),
    sensitivity: ratio(both, wanted),
    precision: ratio(both, found),
    predictedVoxels: found,
    referenceVoxels: wanted,
    predictedMl: found * voxelMl,
    referenceMl: wanted * voxelMl,
    differenceMl: (found - wanted) * voxelMl,
  }
}
