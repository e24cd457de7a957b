/**
 * The pre-activation residual block, conv3(relu(GN(conv3(relu(GN(x)))))) + x, as one operation.
 *
 * Recorded op by op, a block keeps six tensors of its input's size until the backward pass is over, and as many
 * gradients. As one operation it keeps two, x and the middle, recomputes norm + ReLU, which is cheap beside the
 * convolutions, and frees as it goes.
 */

import type { Tensor, Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from './conv3d.ts'
import { normalise, normaliseGradient, normRelu } from './group-norm-relu.ts'
import { operation } from './kernel.ts'

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
  return operation(
    inputs,
    save => {
      const middle = half(x, gamma1, beta1, filter1, groups)
      const end = half(middle, gamma2, beta2, filter2, groups)
      save([...inputs, middle])
      middle.dispose() // the tape holds its own handle
      const sum = end.add(x) as Tensor5D
      end.dispose()
      return sum
    },
    (dy, saved) => {
      const [x, gamma1, beta1, filter1, gamma2, beta2, filter2, middle] = saved as unknown as Saved
      const [dmiddle, dgamma2, dbeta2, dfilter2] = halfGradient(dy, middle, gamma2, beta2, filter2, groups)
      middle.dispose()
      const [dinner, dgamma1, dbeta1, dfilter1] = halfGradient(dmiddle, x, gamma1, beta1, filter1, groups)
      dmiddle.dispose()
      x.dispose()
      const dx = dinner.add(dy)
      dinner.dispose()
      return [dx, dgamma1, dbeta1, dfilter1, dgamma2, dbeta2, dfilter2]
    },
  )
}

type Saved = [Tensor5D, Tensor1D, Tensor1D, Tensor5D, Tensor1D, Tensor1D, Tensor5D, Tensor5D]

function half(x: Tensor5D, gamma: Tensor1D, beta: Tensor1D, filter: Tensor5D, groups: number): Tensor5D {
  const { y, mean, rstd } = normalise(x, gamma, beta, normRelu(groups))
  const result = conv3d(y, filter, 1)
  disposeAll(y, mean, rstd)
  return result
}

function halfGradient(
  dy: Tensor5D,
  x: Tensor5D,
  gamma: Tensor1D,
  beta: Tensor1D,
  filter: Tensor5D,
  groups: number,
): [dx: Tensor5D, dgamma: Tensor1D, dbeta: Tensor1D, dfilter: Tensor5D] {
  const options = normRelu(groups)
  const { y, mean, rstd } = normalise(x, gamma, beta, options)
  const dfilter = conv3dFilterGradient(y, dy, filter.shape, 1)
  y.dispose()
  const dnormed = conv3dInputGradient(dy, filter, x.shape, 1)
  const [dx, dgamma, dbeta] = normaliseGradient(dnormed, x, gamma, beta, { mean, rstd }, options)
  disposeAll(dnormed, mean, rstd)
  return [dx, dgamma, dbeta, dfilter]
}

function disposeAll(...tensors: Tensor[]): void {
  for (const tensor of tensors) tensor.dispose()
}
