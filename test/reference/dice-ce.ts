/** Softmax, then Dice loss plus cross-entropy (MONAI's DiceCELoss), and the gradient of their sum, in float64. */

import type { Shape5 } from './conv3d.ts'

export interface DiceCrossEntropyOptions {
  /** Squares the probabilities in the denominator. */
  readonly squaredPred: boolean
  /** False drops class 0 from the Dice term (not from the cross-entropy). */
  readonly includeBackground: boolean
  readonly jaccard: boolean
  /** Sums over the batch before the quotient is taken. */
  readonly batch: boolean
  readonly smoothNr: number
  readonly smoothDr: number
  readonly lambdaDice: number
  readonly lambdaCe: number
}

/**
 * `logits` is (N, D, H, W, C) as `shape` says, `labels` (N, D, H, W) class indices. Per sample b and channel c, over the
 * voxels: I = sum g p, G = sum g, P = sum p (or p^2), D = G + P, or with jaccard D = 2 (G + P - I);
 * dice = mean over b, c of 1 - (2 I + smoothNr) / (D + smoothDr).
 */
export function diceCrossEntropy(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
  shape: Shape5,
  options: DiceCrossEntropyOptions,
): { loss: number; dice: number; crossEntropy: number; dlogits: Float64Array } {
  const [n, d, h, w, classes] = shape
  const voxels = d * h * w
  const first = options.includeBackground ? 0 : 1
  const rows = options.batch ? 1 : n
  const rowOf = (voxel: number): number => (options.batch ? 0 : Math.floor(voxel / voxels))

  const p = softmax(logits, classes)
  const intersection = new Float64Array(rows * classes)
  const reference = new Float64Array(rows * classes)
  const predicted = new Float64Array(rows * classes)
  let crossEntropy = 0
  for (let v = 0; v < n * voxels; v++) {
    crossEntropy -= Math.log(p[v * classes + labels[v]!]!) / (n * voxels)
    for (let c = 0; c < classes; c++) {
      const at = rowOf(v) * classes + c
      const prob = p[v * classes + c]!
      predicted[at]! += options.squaredPred ? prob * prob : prob
      if (labels[v] !== c) continue
      intersection[at]! += prob
      reference[at]! += 1
    }
  }

  const terms = rows * (classes - first)
  const denominator = (at: number): number => {
    const sum = reference[at]! + predicted[at]!
    return (options.jaccard ? 2 * (sum - intersection[at]!) : sum) + options.smoothDr
  }
  const numerator = (at: number): number => 2 * intersection[at]! + options.smoothNr
  let dice = 0
  for (let row = 0; row < rows; row++)
    for (let c = first; c < classes; c++) {
      const at = row * classes + c
      dice += (1 - numerator(at) / denominator(at)) / terms
    }

  const dlogits = new Float64Array(n * voxels * classes)
  const dp = new Float64Array(classes)
  for (let v = 0; v < n * voxels; v++) {
    let projection = 0
    for (let c = 0; c < classes; c++) {
      const at = rowOf(v) * classes + c
      const prob = p[v * classes + c]!
      const g = labels[v] === c ? 1 : 0
      const dPredicted = options.squaredPred ? 2 * prob : 1
      const dDenominator = options.jaccard ? 2 * (dPredicted - g) : dPredicted
      const quotient = (2 * g * denominator(at) - numerator(at) * dDenominator) / denominator(at) ** 2
      dp[c] = c < first ? 0 : -quotient / terms
      projection += dp[c]! * prob
    }
    for (let c = 0; c < classes; c++) {
      const prob = p[v * classes + c]!
      const g = labels[v] === c ? 1 : 0
      dlogits[v * classes + c] =
        options.lambdaDice * prob * (dp[c]! - projection) + (options.lambdaCe * (prob - g)) / (n * voxels)
    }
  }
  return { loss: options.lambdaDice * dice + options.lambdaCe * crossEntropy, dice, crossEntropy, dlogits }
}

/** Softmax over the last axis of `classes` values. */
export function softmax(logits: ArrayLike<number>, classes: number): Float64Array {
  const p = new Float64Array(logits.length)
  for (let at = 0; at < logits.length; at += classes) {
    let max = -Infinity
    for (let c = 0; c < classes; c++) max = Math.max(max, logits[at + c]!)
    let sum = 0
    for (let c = 0; c < classes; c++) sum += p[at + c] = Math.exp(logits[at + c]! - max)
    for (let c = 0; c < classes; c++) p[at + c]! /= sum
  }
  return p
}
