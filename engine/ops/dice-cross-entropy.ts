/**
 * Soft-max, Dice and cross-entropy as one operation, and its gradient with it: the logits are read while they are warm
 * and no probability map outlives the call. Formulas: Milletari et al. 2016 (squared) and Dice as MONAI's DiceCELoss.
 */

import * as tf from '@tensorflow/tfjs'
import type { Scalar, Tensor, Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import type { DiceCeOptions } from '../../model/loss.ts'
import { hasKernel, operation, runKernel } from './kernel.ts'

export interface LossParts {
  readonly loss: Scalar
  readonly dice: Scalar
  readonly crossEntropy: Scalar
  /** Gradient of `loss` for the logits. */
  readonly dlogits: Tensor5D
}

/** For a Dice term over a whole batch whose samples come one by one (option `batch`). */
export interface BatchSums {
  /**
   * (3, C): intersection, reference and prediction of each class, over all samples. Numbers where the backend has them at
   * once, a tensor where they are computed elsewhere.
   */
  readonly sums: Float64Array | Tensor
  readonly samples: number
}

/**
 * lambdaDice * Dice + lambdaCe * cross-entropy of logits (N, D, H, W, C) against class indices (N, D, H, W), int32. With
 * `batchSums`, the logits are some of a batch's: Dice is the batch's, and losses and gradients of equal parts of the batch
 * have the batch's as their mean.
 */
export function diceCrossEntropy(
  logits: Tensor5D,
  labels: Tensor4D,
  options: Omit<DiceCeOptions, 'kind'>,
  batchSums?: BatchSums,
): Scalar {
  return operation(
    [logits],
    save => {
      const { loss, dlogits } = diceCrossEntropyParts(logits, labels, options, batchSums)
      save([dlogits])
      return loss
    },
    (dy, [dlogits]: Tensor[]) => [dlogits!.mul(dy)],
  )
}

/**
 * The sum of the losses of samples that are each taken as if they came alone, on a backend that has the kernel; `tell` gets the
 * losses (N), which are its to dispose. Values and gradients have the bits of one call for each sample.
 */
export function diceCrossEntropyOfEach(
  logits: Tensor5D,
  labels: Tensor4D,
  options: Omit<DiceCeOptions, 'kind'>,
  batchSums: BatchSums | undefined,
  tell: (losses: Tensor) => void,
): Scalar {
  return operation(
    [logits],
    save => {
      const { loss, dlogits } = diceCrossEntropyParts(logits, labels, options, batchSums, true)
      save([dlogits])
      tell(tf.keep(loss.clone()))
      return loss.sum() as Scalar
    },
    (dy, [dlogits]: Tensor[]) => [dlogits!.mul(dy)],
  )
}

/** The loss, its two terms and its gradient; with `alone`, of each sample by itself. Not differentiable. */
export function diceCrossEntropyParts(
  logits: Tensor5D,
  labels: Tensor4D,
  options: Omit<DiceCeOptions, 'kind'>,
  batchSums?: BatchSums,
  alone = false,
): LossParts {
  const { squaredPred, includeBackground, jaccard, batch, smoothNr, smoothDr, lambdaDice, lambdaCe } = options
  if (hasKernel('DiceCrossEntropy')) {
    const sums = batchSums?.sums instanceof Float64Array ? undefined : batchSums?.sums
    const attrs = {
      squaredPred,
      includeBackground,
      jaccard,
      batch,
      smoothNr,
      smoothDr,
      lambdaDice,
      lambdaCe,
      batchSums,
      alone,
    }
    const [loss, dice, crossEntropy, dlogits] = runKernel(
      'DiceCrossEntropy',
      { logits, labels, ...(sums && { sums }) },
      attrs,
    )
    return { loss, dice, crossEntropy, dlogits } as LossParts
  }
  return tf.tidy(() => {
    const [n, d, h, w, classes] = logits.shape
    const voxels = d * h * w
    const flat = logits.reshape([n, voxels, classes])
    const log = flat.logSoftmax()
    const p = log.exp()
    const g = tf.oneHot(labels.reshape([n, voxels]), classes).toFloat()

    // Sums per sample and class, (N, 1, C), or (1, 1, C) over the batch.
    const axes = batch ? [0, 1] : [1]
    const wholeBatch = batchSums?.sums
    const [intersection, reference, predicted] = wholeBatch
      ? tf.unstack(
          wholeBatch instanceof Float64Array
            ? tf.tensor(Float32Array.from(wholeBatch), [3, 1, 1, classes])
            : wholeBatch.reshape([3, 1, 1, classes]),
        )
      : sumsOf(p, g, axes, squaredPred)
    const total = reference!.add(predicted!)
    const denominator = (jaccard ? total.sub(intersection!).mul(2) : total).add(smoothDr)
    const numerator = intersection!.mul(2).add(smoothNr)

    // Without the background the first class neither counts nor gets a gradient from Dice.
    const counted = tf.tensor1d(Array.from({ length: classes }, (_, c) => (c > 0 || includeBackground ? 1 : 0)))
    const terms = (batch ? 1 : n) * (includeBackground ? classes : classes - 1)
    const dice = tf.sub(1, numerator.div(denominator)).mul(counted).sum().div(terms)
    const crossEntropy = log
      .mul(g)
      .sum()
      .div(-n * voxels)

    // d(1 - num/den)/dp = (num * dden - dnum * den) / den^2, with dnum = 2 g.
    const dtotal = squaredPred ? p.mul(2) : tf.onesLike(p)
    const ddenominator = jaccard ? dtotal.sub(g).mul(2) : dtotal
    const ddice = numerator
      .mul(ddenominator)
      .sub(g.mul(2).mul(denominator))
      .div(denominator.square())
      .mul(counted)
      .mul((lambdaDice * (batchSums?.samples ?? 1)) / terms)
    // Through the soft-max: p * (dp - sum over classes of p * dp).
    const dthrough = p.mul(ddice.sub(p.mul(ddice).sum(2, true)))
    const dlogits = dthrough.add(p.sub(g).mul(lambdaCe / (n * voxels)))
    return {
      loss: dice.mul(lambdaDice).add(crossEntropy.mul(lambdaCe)) as Scalar,
      dice: dice as Scalar,
      crossEntropy: crossEntropy as Scalar,
      dlogits: dlogits.reshape(logits.shape) as Tensor5D,
    }
  })
}

/** What `BatchSums` adds up, of the logits given: (3, C). Not differentiable. */
export function diceSums(logits: Tensor5D, labels: Tensor4D, options: Omit<DiceCeOptions, 'kind'>): BatchSums['sums'] {
  const classes = logits.shape[4]
  if (hasKernel('DiceSums')) {
    const sums = new Float64Array(3 * classes)
    const [tensor] = runKernel('DiceSums', { logits, labels }, { ...options, sums })
    return tensor ?? sums
  }
  const stacked = tf.tidy(() => {
    const flat = logits.reshape([-1, classes])
    const g = tf.oneHot(labels.flatten(), classes).toFloat()
    return tf.stack(sumsOf(flat.softmax(), g, [0], options.squaredPred))
  })
  const sums = Float64Array.from(stacked.dataSync())
  stacked.dispose()
  return sums
}

/** The sums of two parts of a batch; both of one kind. Not differentiable. */
export function addSums(a: BatchSums['sums'], b: BatchSums['sums']): BatchSums['sums'] {
  if (a instanceof Float64Array && b instanceof Float64Array) return a.map((sum, i) => sum + b[i]!)
  return tf.add(a as Tensor, b as Tensor)
}

/** Intersection, reference and prediction, kept dimensions. */
function sumsOf(p: Tensor, g: Tensor, axes: number[], squaredPred: boolean): [Tensor, Tensor, Tensor] {
  return [p.mul(g).sum(axes, true), g.sum(axes, true), (squaredPred ? p.square() : p).sum(axes, true)]
}
