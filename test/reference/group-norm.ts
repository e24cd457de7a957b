/** Group normalisation, optionally followed by ReLU, as plain loops in float64. Layout (N, D, H, W, C). */

import type { Shape5 } from './conv3d.ts'

/** y = relu(gamma * (x - mean) * rstd + beta); mean and rstd are (N, groups); the variance is the biased one. */
export function groupNormRelu(
  x: ArrayLike<number>,
  shape: Shape5,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  groups: number,
  epsilon: number,
  relu: boolean,
): { y: Float64Array; mean: Float64Array; rstd: Float64Array } {
  const [n, d, h, w, channels] = shape
  const voxels = d * h * w
  const perGroup = channels / groups
  const y = new Float64Array(n * voxels * channels)
  const mean = new Float64Array(n * groups)
  const rstd = new Float64Array(n * groups)
  for (let b = 0; b < n; b++)
    for (let g = 0; g < groups; g++) {
      const members = indices(b, g, voxels, channels, perGroup)
      let sum = 0
      for (const i of members) sum += x[i]!
      const mu = sum / members.length
      let squares = 0
      for (const i of members) squares += (x[i]! - mu) ** 2
      const r = 1 / Math.sqrt(squares / members.length + epsilon)
      mean[b * groups + g] = mu
      rstd[b * groups + g] = r
      for (const i of members) {
        const value = gamma[i % channels]! * (x[i]! - mu) * r + beta[i % channels]!
        y[i] = relu ? Math.max(value, 0) : value
      }
    }
  return { y, mean, rstd }
}

/**
 * With xh = (x - mean) * rstd and u = dy where the output passed the ReLU, else 0: dbeta = sum u, dgamma = sum u * xh,
 * and with v = gamma * u, dx = rstd * (v - mean(v) - xh * mean(v * xh)), the means over the group.
 */
export function groupNormReluGradient(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  shape: Shape5,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  groups: number,
  epsilon: number,
  relu: boolean,
): { dx: Float64Array; dgamma: Float64Array; dbeta: Float64Array } {
  const [n, d, h, w, channels] = shape
  const voxels = d * h * w
  const perGroup = channels / groups
  const { y, mean, rstd } = groupNormRelu(x, shape, gamma, beta, groups, epsilon, relu)
  const dx = new Float64Array(n * voxels * channels)
  const dgamma = new Float64Array(channels)
  const dbeta = new Float64Array(channels)
  for (let b = 0; b < n; b++)
    for (let g = 0; g < groups; g++) {
      const members = indices(b, g, voxels, channels, perGroup)
      const mu = mean[b * groups + g]!
      const r = rstd[b * groups + g]!
      let sumV = 0
      let sumVX = 0
      for (const i of members) {
        const c = i % channels
        const u = relu && y[i]! <= 0 ? 0 : dy[i]!
        const xh = (x[i]! - mu) * r
        dbeta[c]! += u
        dgamma[c]! += u * xh
        sumV += gamma[c]! * u
        sumVX += gamma[c]! * u * xh
      }
      for (const i of members) {
        const u = relu && y[i]! <= 0 ? 0 : dy[i]!
        const xh = (x[i]! - mu) * r
        dx[i] = r * (gamma[i % channels]! * u - sumV / members.length - (xh * sumVX) / members.length)
      }
    }
  return { dx, dgamma, dbeta }
}

/** Flat indices of one group of one sample. */
function indices(sample: number, group: number, voxels: number, channels: number, perGroup: number): number[] {
  const all: number[] = []
  for (let v = 0; v < voxels; v++)
    for (let c = 0; c < perGroup; c++) all.push((sample * voxels + v) * channels + group * perGroup + c)
  return all
}
