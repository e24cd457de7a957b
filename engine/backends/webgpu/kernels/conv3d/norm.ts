/** Group norm + ReLU in front of a convolution: checks, and the WGSL that applies it to channels as they are read. */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Binding } from '../../program.ts'
import { check, checkShape, type Call } from '../kernel.ts'
import { vector, type Lanes } from './access.ts'

export interface Norm {
  readonly groups: number
  /** By the names of their bindings. */
  readonly buffers: Readonly<Record<'mean' | 'rstd' | 'gamma' | 'beta', TensorInfo>>
}

/** ERR_ENGINE unless mean and rstd are (N, groups), gamma and beta (C). */
export function normOf(name: string, { inputs }: Call): Norm {
  const { x, mean, rstd, gamma, beta } = inputs as Record<'x' | 'mean' | 'rstd' | 'gamma' | 'beta', TensorInfo>
  const [batch, channels, groups] = [x.shape[0]!, x.shape.at(-1)!, mean.shape.at(-1)!]
  check(channels % groups === 0, name, `expected groups that divide the ${channels} channels, found ${groups}`)
  checkShape(name, 'mean', mean, [batch, groups])
  checkShape(name, 'rstd', rstd, [batch, groups])
  checkShape(name, 'gamma', gamma, [channels])
  checkShape(name, 'beta', beta, [channels])
  return { groups, buffers: { mean, rstd, gamma, beta } }
}

export const normBindings: readonly Binding[] = ['mean', 'rstd', 'gamma', 'beta'].map(name => ({
  name,
  type: 'array<f32>',
  access: 'read',
}))

/**
 * `fn leastOf(mean, rstd, gamma, beta)`: what the ReLU lets nothing be below. It is 0, and NaN where a number is not finite: the
 * larger of 0 and NaN may be 0, so that a network that has diverged would go on with a loss that looks well.
 */
export const leastOf = `fn leastOf(mean: f32, rstd: f32, gamma: f32, beta: f32) -> f32 {
  let bits = vec4u(bitcast<u32>(mean), bitcast<u32>(rstd), bitcast<u32>(gamma), bitcast<u32>(beta)) & vec4u(0x7fffffffu);
  let most = max(max(bits.x, bits.y), max(bits.z, bits.w));
  return bitcast<f32>(select(0u, most | 0x400000u, most >= 0x7f800000u));
}`

/**
 * `fn normOf(n: u32, c: u32) -> Norm` of the channels from c `lanes` on, and `fn normed(value, norm)`. The mean is taken
 * off before anything else: values far from zero keep their digits.
 */
export function normCode(channels: number, groups: number, lanes: Lanes): string {
  const type = vector(lanes)
  const parts = Array.from({ length: lanes }, (_, e) => {
    const at = lanes === 1 ? '' : `[${e}]`
    return `  {
    let channel = min(${lanes}u * c + ${e}u, ${channels - 1}u);
    let group = n * ${groups}u + channel / ${channels / groups}u;
    norm.mean${at} = mean[group];
    norm.scale${at} = gamma[channel] * rstd[group];
    norm.shift${at} = beta[channel];
    norm.least${at} = leastOf(mean[group], rstd[group], gamma[channel], beta[channel]);
  }`
  })
  return `struct Norm { mean: ${type}, scale: ${type}, shift: ${type}, least: ${type} }
${leastOf}
fn normOf(n: u32, c: u32) -> Norm {
  var norm: Norm;
${parts.join('\n')}
  return norm;
}
fn normed(value: ${type}, norm: Norm) -> ${type} {
  return max((value - norm.mean) * norm.scale + norm.shift, norm.least);
}`
}
