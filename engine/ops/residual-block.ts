/**
 * The pre-activation residual block, conv3(relu(GN(conv3(relu(GN(x)))))) + x, as one operation.
 *
 * Recorded op by op, a block keeps six tensors of its input's size until the backward pass is over, and as many
 * gradients. As one operation it keeps two, x and the middle, applies norm + ReLU again while the filters' gradients read
 * them, and frees as it goes.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor1D, Tensor2D, Tensor5D } from '@tensorflow/tfjs'
import { normRelu, statisticsOf } from './group-norm-relu.ts'
import { operation } from './kernel.ts'
import { normConv3d, normConv3dGradient } from './norm-conv3d.ts'

/** A block's parameters: norms (C), filters (3, 3, 3, C, C). */
export interface BlockParameters {
  readonly gamma1: Tensor1D
  readonly beta1: Tensor1D
  readonly filter1: Tensor5D
  readonly gamma2: Tensor1D
  readonly beta2: Tensor1D
  readonly filter2: Tensor5D
}

/** x and the result are (N, D, H, W, C). */
export function residualBlock(x: Tensor5D, parameters: BlockParameters, groups: number): Tensor5D {
  const { gamma1, beta1, filter1, gamma2, beta2, filter2 } = parameters
  const inputs = [x, gamma1, beta1, filter1, gamma2, beta2, filter2]
  const options = normRelu(groups)
  return operation(
    inputs,
    save => {
      const ofX = statisticsOf(x, options)
      const middle = normConv3d(x, ofX, { gamma: gamma1, beta: beta1, filter: filter1 }, groups)
      const ofMiddle = statisticsOf(middle, options)
      const y = normConv3d(middle, ofMiddle, { gamma: gamma2, beta: beta2, filter: filter2 }, groups, x)
      const kept = [middle, ofX.mean, ofX.rstd, ofMiddle.mean, ofMiddle.rstd]
      save([...inputs, ...kept])
      tf.dispose(kept) // the tape holds its own handles
      return y
    },
    (dy, saved) => {
      const [x, gamma1, beta1, filter1, gamma2, beta2, filter2, middle, mean1, rstd1, mean2, rstd2] =
        saved as unknown as Saved
      const first = { gamma: gamma1, beta: beta1, filter: filter1 }
      const second = { gamma: gamma2, beta: beta2, filter: filter2 }
      const [dmiddle, dgamma2, dbeta2, dfilter2] = normConv3dGradient(
        dy,
        middle,
        { mean: mean2, rstd: rstd2 },
        second,
        groups,
      )
      middle.dispose()
      const ofX = { mean: mean1, rstd: rstd1 }
      const [dx, dgamma1, dbeta1, dfilter1] = normConv3dGradient(dmiddle, x, ofX, first, groups, dy)
      dmiddle.dispose()
      return [dx, dgamma1, dbeta1, dfilter1, dgamma2, dbeta2, dfilter2]
    },
  )
}

type Saved = [
  Tensor5D,
  Tensor1D,
  Tensor1D,
  Tensor5D,
  Tensor1D,
  Tensor1D,
  Tensor5D,
  Tensor5D,
  Tensor2D,
  Tensor2D,
  Tensor2D,
  Tensor2D,
]
