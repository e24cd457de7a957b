/** Dice of every class of every case: MONAI's `DiceMetric` before its reduction. */

import type { MetricTable } from './reduce.ts'

export interface DiceTableOptions {
  /** Classes including the background, 2 or more; other values in a mask belong to none. */
  readonly classes: number
  /** Whether class 0 has a column too. */
  readonly includeBackground: boolean
  /**
   * Where a class is not in the reference: true gives null whatever the prediction holds, false gives 1 where it is not
   * in the prediction either, else 0.
   */
  readonly ignoreEmpty: boolean
}

export interface MaskPair {
  /** Class indices, in any order of voxels as long as both have the same. */
  readonly prediction: Uint8Array | Float32Array
  readonly reference: Uint8Array | Float32Array
}

/** A row per pair, a column per class from 1 (or 0) up; reduce it with `reduceMetric`. */
export function diceTable(pairs: readonly MaskPair[], options: DiceTableOptions): MetricTable {
  return pairs.map(pair => diceOfClasses(pair, options))
}

function diceOfClasses(
  { prediction, reference }: MaskPair,
  { classes, includeBackground, ignoreEmpty }: DiceTableOptions,
): (number | null)[] {
  if (prediction.length !== reference.length) {
    throw new RangeError(`expected masks of one size, found ${prediction.length} and ${reference.length} voxels`)
  }
  const [found, wanted, both] = [0, 1, 2].map(() => new Float64Array(classes)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  for (let i = 0; i < prediction.length; i++) {
    const [p, r] = [prediction[i]!, reference[i]!]
    // Writes beyond a typed array are lost: such a value is in no class.
    found[p]!++
    wanted[r]!++
    if (p === r) both[p]!++
  }
  const dice = Array.from(wanted, (voxels, c) => {
    if (voxels > 0) return (2 * both[c]!) / (voxels + found[c]!)
    if (ignoreEmpty) return null
    return found[c] === 0 ? 1 : 0
  })
  return includeBackground ? dice : dice.slice(1)
}
