/**
 * Group normalisation with ReLU (Wu & He, "Group Normalization", 2018), channels last: x (N, D, H, W, C), gamma and beta
 * (C). Biased variance over the voxels and the C / groups channels of a group, as in PyTorch.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor1D, Tensor2D, Tensor5D } from '@tensorflow/tfjs'
import { hasKernel, operation, runKernel } from './kernel.ts'

export interface NormOptions {
  readonly groups: number
  readonly epsilon: number
  readonly relu: boolean
}

export interface Statistics {
  /** (N, groups). */
  readonly mean: Tensor2D
  /** 1 / sqrt(variance + epsilon), (N, groups). */
  readonly rstd: Tensor2D
}

export interface Normalised extends Statistics {
  readonly y: Tensor5D
}

/** The network's norms: epsilon is PyTorch's default. */
export function normRelu(groups: number): NormOptions {
  return { groups, epsilon: 1e-5, relu: true }
}

/** relu((x - mean) * rstd * gamma + beta). Not differentiable. */
export function normalise(x: Tensor5D, gamma: Tensor1D, beta: Tensor1D, options: NormOptions): Normalised {
  if (hasKernel('GroupNormRelu')) {
    const [y, mean, rstd] = runKernel('GroupNormRelu', { x, gamma, beta }, { ...options })
    return { y: y as Tensor5D, mean: mean as Tensor2D, rstd: rstd as Tensor2D }
  }
  const statistics = statisticsOf(x, options)
  return { y: applyNorm(x, statistics, gamma, beta, options), ...statistics }
}

/** `normalise` with statistics that are known, in TensorFlow.js' own operations. Not differentiable. */
export function applyNorm(
  x: Tensor5D,
  { mean, rstd }: Statistics,
  gamma: Tensor1D,
  beta: Tensor1D,
  { groups, relu }: NormOptions,
): Tensor5D {
  return tf.tidy(() => {
    const wide: [number, number, number, number] = [x.shape[0], 1, groups, 1]
    const normed = x.reshape(groupedShape(x, groups)).sub(mean.reshape(wide)).mul(rstd.reshape(wide)) // (N, voxels, G, C/G)
    const scaled = normed.mul(perGroup(gamma, groups)).add(perGroup(beta, groups))
    return (relu ? scaled.relu() : scaled).reshape(x.shape) as Tensor5D
  })
}

/** Mean and rstd alone: one pass over x. Not differentiable. */
export function statisticsOf(x: Tensor5D, { groups, epsilon }: NormOptions): Statistics {
  if (hasKernel('GroupNormStatistics')) {
    const [mean, rstd] = runKernel('GroupNormStatistics', { x }, { groups, epsilon })
    return { mean: mean as Tensor2D, rstd: rstd as Tensor2D }
  }
  return tf.tidy(() => {
    const { mean, variance } = tf.moments(x.reshape(groupedShape(x, groups)), [1, 3])
    return { mean: mean as Tensor2D, rstd: variance.add(epsilon).rsqrt() as Tensor2D }
  })
}

/**
 * Gradients [dx, dgamma, dbeta] of `normalise`; what the ReLU let through is found again from x. A `residual` is added to
 * dx. Takes `dy`, which the caller must hold alone: dx may lie in its memory. Not differentiable.
 */
export function normaliseGradient(
  dy: Tensor5D,
  x: Tensor5D,
  gamma: Tensor1D,
  beta: Tensor1D,
  statistics: Statistics,
  options: NormOptions,
  residual?: Tensor5D,
): [dx: Tensor5D, dgamma: Tensor1D, dbeta: Tensor1D] {
  const { mean, rstd } = statistics
  if (hasKernel('GroupNormReluGrad')) {
    const inputs = { dy, x, gamma, beta, mean, rstd, ...(residual && { residual }) }
    const gradients = runKernel('GroupNormReluGrad', inputs, { ...options, inPlace: true })
    dy.dispose()
    return gradients as [Tensor5D, Tensor1D, Tensor1D]
  }
  const gradients = tf.tidy(() => {
    const shape = groupedShape(x, options.groups)
    const wide: [number, number, number, number] = [shape[0], 1, options.groups, 1]
    const scale = rstd.reshape(wide)
    const normed = x.reshape(shape).sub(mean.reshape(wide)).mul(scale)
    const scaled = normed.mul(perGroup(gamma, options.groups)).add(perGroup(beta, options.groups))
    const dscaled = options.relu ? dy.reshape(shape).mul(scaled.step()) : dy.reshape(shape)
    const dnormed = dscaled.mul(perGroup(gamma, options.groups))
    const dx = dnormed
      .sub(dnormed.mean([1, 3], true))
      .sub(normed.mul(dnormed.mul(normed).mean([1, 3], true)))
      .mul(scale)
    return [
      residual ? dx.reshape(x.shape).add(residual) : dx.reshape(x.shape),
      dscaled.mul(normed).sum([0, 1]).reshape(gamma.shape),
      dscaled.sum([0, 1]).reshape(beta.shape),
    ] as [Tensor5D, Tensor1D, Tensor1D]
  })
  dy.dispose()
  return gradients
}

/** `normalise` as an operation; saves x and recomputes the rest. */
export function groupNormRelu(x: Tensor5D, gamma: Tensor1D, beta: Tensor1D, options: NormOptions): Tensor5D {
  return operation(
    [x, gamma, beta],
    save => {
      const { y } = normalise(x, gamma, beta, options)
      save([x, gamma, beta])
      return y
    },
    (dy, saved: Tensor[]) => {
      const [input, scale, shift] = saved as [Tensor5D, Tensor1D, Tensor1D]
      // The tape's dy may be somebody else's too: only a copy can be overwritten.
      return normaliseGradient(dy.mul(1), input, scale, shift, statisticsOf(input, options), options)
    },
  )
}

function groupedShape(x: Tensor5D, groups: number): [number, number, number, number] {
  const [n, d, h, w, channels] = x.shape
  return [n, d * h * w, groups, channels / groups]
}

function perGroup(values: Tensor1D, groups: number): Tensor {
  return values.reshape([1, 1, groups, values.shape[0] / groups])
}
