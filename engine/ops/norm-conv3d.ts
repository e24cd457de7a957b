/**
 * conv3d(relu(GN(x))), stride 1: what residual blocks and the head are made of. Where the backend can, norm and ReLU are
 * applied as the convolution reads its input, and the normalised tensor, a write and a read of everything, does not exist.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, padding } from './conv3d.ts'
import { applyNorm, normaliseGradient, normRelu, type Statistics } from './group-norm-relu.ts'
import { hasKernel, runKernel } from './kernel.ts'

/** Scale and shift (C), and the filter (k, k, k, C, Co) behind them. */
export interface NormConvParameters {
  readonly gamma: Tensor1D
  readonly beta: Tensor1D
  readonly filter: Tensor5D
}

/** conv3d(relu(GN(x))) + residual, given x's statistics. Not differentiable. */
export function normConv3d(
  x: Tensor5D,
  { mean, rstd }: Statistics,
  { gamma, beta, filter }: NormConvParameters,
  groups: number,
  residual?: Tensor5D,
): Tensor5D {
  if (hasKernel('NormReluConv3D')) {
    const inputs = { x, filter, mean, rstd, gamma, beta, ...(residual && { residual }) }
    return runKernel('NormReluConv3D', inputs, { strides: [1, 1, 1], pad: padding(filter.shape) })[0] as Tensor5D
  }
  return tf.tidy(() => {
    const product = conv3d(applyNorm(x, { mean, rstd }, gamma, beta, normRelu(groups)), filter, 1)
    return residual ? product.add(residual) : product
  })
}

/** Gradients of `normConv3d` for x (plus `residual`), gamma, beta and filter; dy stays the caller's. Not differentiable. */
export function normConv3dGradient(
  dy: Tensor5D,
  x: Tensor5D,
  statistics: Statistics,
  { gamma, beta, filter }: NormConvParameters,
  groups: number,
  residual?: Tensor5D,
): [dx: Tensor5D, dgamma: Tensor1D, dbeta: Tensor1D, dfilter: Tensor5D] {
  const dfilter = filterGradient(dy, x, statistics, { gamma, beta, filter }, groups)
  const dnormed = conv3dInputGradient(dy, filter, x.shape, 1)
  return [...normaliseGradient(dnormed, x, gamma, beta, statistics, normRelu(groups), residual), dfilter]
}

function filterGradient(
  dy: Tensor5D,
  x: Tensor5D,
  { mean, rstd }: Statistics,
  { gamma, beta, filter }: NormConvParameters,
  groups: number,
): Tensor5D {
  if (hasKernel('NormReluConv3DBackpropFilter')) {
    const attrs = { strides: [1, 1, 1], pad: padding(filter.shape), filterShape: filter.shape }
    return runKernel('NormReluConv3DBackpropFilter', { x, dy, mean, rstd, gamma, beta }, attrs)[0] as Tensor5D
  }
  return tf.tidy(() =>
    conv3dFilterGradient(applyNorm(x, { mean, rstd }, gamma, beta, normRelu(groups)), dy, filter.shape, 1),
  )
}
