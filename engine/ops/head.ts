/** The end of the network: conv1(relu(GN(x))) + bias as one operation that saves x and its statistics. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor1D, Tensor2D, Tensor5D } from '@tensorflow/tfjs'
import { normRelu, statisticsOf } from './group-norm-relu.ts'
import { operation } from './kernel.ts'
import { normConv3d, normConv3dGradient } from './norm-conv3d.ts'

export interface HeadParameters {
  /** (C). */
  readonly gamma: Tensor1D
  readonly beta: Tensor1D
  /** (1, 1, 1, C, classes). */
  readonly filter: Tensor5D
  /** (classes). */
  readonly bias: Tensor1D
}

/** x (N, D, H, W, C) to logits (N, D, H, W, classes). */
export function head(x: Tensor5D, parameters: HeadParameters, groups: number): Tensor5D {
  const { gamma, beta, filter, bias } = parameters
  return operation(
    [x, gamma, beta, filter, bias],
    save => {
      const { mean, rstd } = statisticsOf(x, normRelu(groups))
      const product = normConv3d(x, { mean, rstd }, parameters, groups)
      const logits = product.add(bias) as Tensor5D
      save([x, gamma, beta, filter, mean, rstd])
      tf.dispose([mean, rstd, product])
      return logits
    },
    (dy, saved) => {
      const [x, gamma, beta, filter, mean, rstd] = saved as unknown as Saved
      const dbias = biasGradient(dy)
      return [...normConv3dGradient(dy, x, { mean, rstd }, { gamma, beta, filter }, groups), dbias]
    },
  )
}

/** Samples are summed up by themselves and added in order: so several have the bits of one after the other. */
function biasGradient(dy: Tensor5D): Tensor {
  const [samples, ...sample] = dy.shape
  if (samples === 1) return dy.sum([0, 1, 2, 3])
  return tf.tidy(() =>
    Array.from({ length: samples }, (_, n) => dy.slice([n, 0, 0, 0, 0], [1, ...sample]).sum([0, 1, 2, 3])).reduce(
      (sum, own) => sum.add(own),
    ),
  )
}

type Saved = [Tensor5D, Tensor1D, Tensor1D, Tensor5D, Tensor2D, Tensor2D]
