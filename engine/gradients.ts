/** Loss and gradients of a batch, computed one sample at a time: a batch needs no more memory than a sample. */

import * as tf from '@tensorflow/tfjs'
import type { Scalar, Tensor, Tensor4D, Tensor5D, Variable } from '@tensorflow/tfjs'
import type { DiceCeOptions } from '../model/loss.ts'
import type { Batch } from '../pipeline/engine.ts'
import { addSums, diceCrossEntropy, diceSums, type BatchSums } from './ops/index.ts'

export interface SampleWork {
  /** Logits of some samples, the first of which has this place in the batch; frees what it makes but the logits. */
  readonly forward: (x: Tensor5D, firstSample: number) => Tensor5D
  /** A tensor's values, once they are computed. */
  readonly read: (tensor: Tensor) => Promise<Float32Array>
  /** Image (1, z, y, x, 1) and labels (1, z, y, x) of a sample; they are gone before the next one's are asked for. */
  readonly inputs: (sample: number) => [Tensor5D, Tensor4D]
}

/**
 * The samples of a batch. `shape` is a sample's, (1, z, y, x). Its labels lie in `memory`, the same for all: fresh memory costs
 * more than all else that is done to them.
 */
export function inputsOf(
  { image, label, count }: Batch,
  shape: [number, number, number, number],
  memory: Int32Array,
): SampleWork['inputs'] {
  const size = image.length / count
  return n => {
    memory.set(label.subarray(n * size, (n + 1) * size))
    return [tf.tensor5d(image.subarray(n * size, (n + 1) * size), [...shape, 1]), tf.tensor4d(memory, shape, 'int32')]
  }
}

/**
 * The mean loss of `count` samples and its gradients for `trainable`, in that order; the caller disposes them.
 *
 * Samples are computed one by one and added in order, whatever the memory: so the sums are the same to the last bit
 * everywhere. Norm, cross-entropy and Dice look at one sample only, and the mean of the samples' losses is the batch's.
 * Where Dice sums over the batch (option `batch`), a first pass without gradients finds those sums: a third more work.
 * Nothing is read before all of it is on its way.
 */
export async function batchGradients(
  count: number,
  trainable: Variable[],
  options: DiceCeOptions,
  { forward, read, inputs }: SampleWork,
): Promise<{ loss: number; gradients: Tensor[] }> {
  const { losses, gradients } = sampleGradients(count, trainable, options, { forward, inputs })
  try {
    let loss = 0
    for (const [value] of await Promise.all(losses.map(read))) loss += value!
    return { loss, gradients }
  } catch (error) {
    tf.dispose(gradients)
    throw error
  } finally {
    tf.dispose(losses)
  }
}

/** The same, with the samples' losses as tensors; the caller disposes them too. */
export function sampleGradients(
  count: number,
  trainable: Variable[],
  options: DiceCeOptions,
  { forward, inputs }: Omit<SampleWork, 'read'>,
): { losses: Scalar[]; gradients: Tensor[] } {
  let batchSums: BatchSums | undefined
  if (options.batch && count > 1) {
    let sums: BatchSums['sums'] | undefined
    for (let n = 0; n < count; n++) {
      const before = sums
      sums = tf.tidy(() => {
        const [x, labels] = inputs(n)
        const own = diceSums(forward(x, n), labels, options)
        return (before ? addSums(before, own) : own) as Tensor // numbers pass through a tidy as well
      })
      if (before) tf.dispose(before as Tensor)
    }
    batchSums = { sums: sums!, samples: count }
  }

  const share = { ...options, lambdaDice: options.lambdaDice / count, lambdaCe: options.lambdaCe / count }
  const losses: Scalar[] = []
  let gradients: Tensor[] = []
  try {
    for (let n = 0; n < count; n++) {
      const before = gradients
      const [loss, ...sums] = tf.tidy(() => {
        const [x, labels] = inputs(n)
        const { value, grads } = tf.valueAndGrads((): Scalar => {
          const logits = forward(x, n)
          const lossOfSample = diceCrossEntropy(logits, labels, share, batchSums)
          logits.dispose()
          return lossOfSample
        })(trainable)
        return [value, ...(n === 0 ? grads : grads.map((gradient, i) => tf.add(before[i]!, gradient)))]
      })
      losses.push(loss as Scalar)
      gradients = sums
      tf.dispose(before)
    }
  } catch (error) {
    tf.dispose([...losses, ...gradients])
    throw error
  } finally {
    if (batchSums) tf.dispose(batchSums.sums as Tensor)
  }
  return { losses, gradients }
}
