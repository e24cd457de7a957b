/**
 * Loss and gradients of a batch, computed one sample at a time, so that a batch needs no more memory than a sample, or all at
 * once where that is faster: the bits are the same.
 */

import * as tf from '@tensorflow/tfjs'
import type { Scalar, Tensor, Tensor4D, Tensor5D, Variable } from '@tensorflow/tfjs'
import type { DiceCeOptions } from '../model/loss.ts'
import type { Batch } from '../pipeline/engine.ts'
import {
  abandonTape,
  addSums,
  diceCrossEntropy,
  diceCrossEntropyOfEach,
  diceSums,
  type BatchSums,
} from './ops/index.ts'

export interface SampleWork {
  /** Logits of some samples, the first of which has this place in the batch; frees what it makes but the logits. */
  readonly forward: (x: Tensor5D, firstSample: number) => Tensor5D
  /** A tensor's values, once they are computed. */
  readonly read: (tensor: Tensor) => Promise<Float32Array>
  /** Image (N, z, y, x, 1) and labels (N, z, y, x) of so many samples; they are gone before the next ones' are asked for. */
  readonly inputs: (firstSample: number, samples: number) => [Tensor5D, Tensor4D]
}

/**
 * The samples of a batch. `shape` is a sample's, (1, z, y, x). Labels lie in `memory`, the same for all: fresh memory costs
 * more than all else that is done to them.
 */
export function inputsOf(
  { image, label, count }: Batch,
  [, ...extents]: [number, number, number, number],
  memory: Int32Array,
): SampleWork['inputs'] {
  const size = image.length / count
  return (first, samples) => {
    const [begin, end] = [first * size, (first + samples) * size]
    const labels = memory.subarray(0, end - begin)
    labels.set(label.subarray(begin, end))
    return [
      tf.tensor5d(image.subarray(begin, end), [samples, ...extents, 1]),
      tf.tensor4d(labels, [samples, ...extents], 'int32'),
    ]
  }
}

/**
 * The mean loss of `count` samples and its gradients for `trainable`, in that order; the caller disposes them.
 *
 * Samples are computed one by one and added in order, whatever the memory: so the sums are the same to the last bit
 * everywhere. Norm, cross-entropy and Dice look at one sample only, and the mean of the samples' losses is the batch's.
 * Where Dice sums over the batch (option `batch`), a first pass without gradients finds those sums: a third more work.
 * Nothing is read before all of it is on its way. `together`, on a backend whose kernels keep samples apart, computes all
 * samples at once.
 */
export async function batchGradients(
  count: number,
  trainable: Variable[],
  options: DiceCeOptions,
  { forward, read, inputs }: SampleWork,
  together = false,
): Promise<{ loss: number; gradients: Tensor[] }> {
  const { losses, gradients } = sampleGradients(count, trainable, options, { forward, inputs }, together)
  try {
    let loss = 0
    for (const values of await Promise.all(losses.map(read))) for (const value of values) loss += value
    return { loss, gradients }
  } catch (error) {
    tf.dispose(gradients)
    throw error
  } finally {
    tf.dispose(losses)
  }
}

/** The same, with the samples' losses as tensors, in order; the caller disposes them too. */
export function sampleGradients(
  count: number,
  trainable: Variable[],
  options: DiceCeOptions,
  { forward, inputs }: Omit<SampleWork, 'read'>,
  together = false,
): { losses: Tensor[]; gradients: Tensor[] } {
  const atOnce = together ? count : 1
  let sums: BatchSums['sums'] | undefined
  const share = { ...options, lambdaDice: options.lambdaDice / count, lambdaCe: options.lambdaCe / count }
  const losses: Tensor[] = []
  let gradients: Tensor[] = []
  try {
    if (options.batch && count > 1)
      for (let n = 0; n < count; n += atOnce) {
        const before = sums
        sums = tf.tidy(() => {
          const [x, labels] = inputs(n, atOnce)
          const own = diceSums(forward(x, n), labels, options)
          return (before ? addSums(before, own) : own) as Tensor // numbers pass through a tidy as well
        })
        if (before) tf.dispose(before as Tensor)
      }
    const batchSums = sums && { sums, samples: count }
    for (let n = 0; n < count; n += atOnce) {
      const before = gradients
      const [loss, ...summed] = tf.tidy(() => {
        const [x, labels] = inputs(n, atOnce)
        const { value, grads } = tf.valueAndGrads((): Scalar => {
          const logits = forward(x, n)
          const loss =
            atOnce === 1
              ? diceCrossEntropy(logits, labels, share, batchSums)
              : diceCrossEntropyOfEach(logits, labels, share, batchSums, each => void losses.push(each))
          logits.dispose()
          return loss
        })(trainable)
        return [value, ...(n === 0 ? grads : grads.map((gradient, i) => tf.add(before[i]!, gradient)))]
      })
      if (atOnce === 1) losses.push(loss!)
      else loss!.dispose()
      gradients = summed
      tf.dispose(before)
    }
  } catch (error) {
    abandonTape()
    tf.dispose([...losses, ...gradients])
    throw error
  } finally {
    if (sums) tf.dispose(sums as Tensor)
  }
  return { losses, gradients }
}
