/** Dropout of whole channels (PyTorch's Dropout3d): each (sample, channel) is zero or scaled, by factors drawn elsewhere. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor5D } from '@tensorflow/tfjs'
import { operation } from './kernel.ts'

/** x (N, D, H, W, C) times `factors` [N][C], which are constants: 0 or 1 / (1 - probability). */
export function scaleChannels(x: Tensor5D, factors: readonly (readonly number[])[]): Tensor5D {
  const [n, , , , channels] = x.shape
  const scale = (tensor: Tensor5D): Tensor5D =>
    tf.tidy(() => tensor.mul(tf.tensor(factors.flat(), [n, 1, 1, 1, channels])) as Tensor5D)
  return operation(
    [x],
    () => scale(x),
    dy => [scale(dy)],
  )
}
