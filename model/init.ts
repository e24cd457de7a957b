/** First weights, as PyTorch would draw them, but from our own counter-based numbers: the same on every backend. */

import { rng } from '../pipeline/random.ts'
import type { Tensors } from '../pipeline/engine.ts'
import { sizeOf, type ParameterSpec } from './parameters.ts'

/**
 * PyTorch's defaults: filters and biases uniform in +-1 / sqrt(fan_in) (its kaiming_uniform with a = sqrt(5)), norms 1 and
 * 0. By PyTorch's names, in its axis order; each parameter has a stream of its own, so it does not depend on the others.
 */
export function initialWeights(specs: readonly ParameterSpec[], seed: number): Tensors {
  return new Map(specs.map((spec, index) => [spec.name, { shape: spec.shape, data: initialValues(spec, seed, index) }]))
}

function initialValues({ shape, kind, fanIn }: ParameterSpec, seed: number, index: number): Float32Array {
  const data = new Float32Array(sizeOf(shape))
  if (kind === 'scale') return data.fill(1)
  if (kind === 'shift') return data
  const draws = rng(seed, 0, index, 'init')
  const bound = 1 / Math.sqrt(fanIn)
  for (let i = 0; i < data.length; i++) data[i] = bound * (2 * draws.uniform() - 1)
  return data
}
