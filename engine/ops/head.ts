/** The end of the network: conv1(relu(GN(x))) + bias as one operation that saves only x. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from './conv3d.ts'
import { normalise, normaliseGradient, normRelu } from './group-norm-relu.ts'
import { operation } from './kernel.ts'

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
  const options = normRelu(groups)
  return operation(
    [x, gamma, beta, filter, bias],
    save => {
      save([x, gamma, beta, filter])
      const { y } = normalise(x, gamma, beta, options)
      const product = conv3d(y, filter, 1)
      y.dispose()
      return product.add(bias) as Tensor5D
    },
    (dy, saved) => {
      const [x, gamma, beta, filter] = saved as unknown as [Tensor5D, Tensor1D, Tensor1D, Tensor5D]
      const { y, mean, rstd } = normalise(x, gamma, beta, options)
      const dfilter = conv3dFilterGradient(y, dy, filter.shape, 1)
      y.dispose()
      const dbias = dy.sum([0, 1, 2, 3])
      const dnormed = conv3dInputGradient(dy, filter, x.shape, 1)
      const [dx, dgamma, dbeta] = normaliseGradient(dnormed, x, gamma, beta, { mean, rstd }, options)
      tf.dispose([dnormed, mean, rstd])
      return [dx, dgamma, dbeta, dfilter, dbias]
    },
  )
}
