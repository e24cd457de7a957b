/** 3-D convolution with PyTorch's sampling, channels last: x (N, D, H, W, Ci), filter (kd, kh, kw, Ci, Co). */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor5D } from '@tensorflow/tfjs'
import { operation, runKernel } from './kernel.ts'

type Shape5 = [number, number, number, number, number]

/** Half a kernel of zeros on both sides, as PyTorch pads; 'same' would put them all at the end for stride 2. */
export function padding(filterShape: readonly number[]): never {
  return ((filterShape[0]! - 1) / 2) as never // tfjs' types do not know the number that its kernels take
}

/** The convolution, recorded on tfjs' own tape: the gradient for `x` is computed only where somebody asks for it. */
export function conv3d(x: Tensor5D, filter: Tensor5D, stride: number): Tensor5D {
  return tf.conv3d(x, filter, stride, padding(filter.shape))
}

/** Gradient for the input; `dy` is (N, ceil(D / stride), ..., Co). Not differentiable. */
export function conv3dInputGradient(dy: Tensor5D, filter: Tensor5D, inputShape: Shape5, stride: number): Tensor5D {
  const attrs = { pad: padding(filter.shape), strides: [stride, stride, stride], inputShape }
  return runKernel('Conv3DBackpropInputV2', { dy, filter }, attrs)[0] as Tensor5D
}

/** Gradient for the filter. Not differentiable. */
export function conv3dFilterGradient(x: Tensor5D, dy: Tensor5D, filterShape: Shape5, stride: number): Tensor5D {
  const attrs = { pad: padding(filterShape), strides: [stride, stride, stride], filterShape }
  return runKernel('Conv3DBackpropFilterV2', { x, dy }, attrs)[0] as Tensor5D
}

/** The convolution as an operation that frees its input and `dy` in its gradient. */
export function convolution(x: Tensor5D, filter: Tensor5D, stride: number): Tensor5D {
  return operation(
    [x, filter],
    save => {
      const y = conv3d(x, filter, stride)
      save([x, filter])
      return y
    },
    (dy, saved: Tensor[]) => {
      const [input, weights] = saved as [Tensor5D, Tensor5D]
      const dfilter = conv3dFilterGradient(input, dy, weights.shape, stride)
      const shape = input.shape
      input.dispose()
      return [conv3dInputGradient(dy, weights, shape, stride), dfilter]
    },
  )
}
