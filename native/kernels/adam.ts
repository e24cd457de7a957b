/** Adam's update of one tensor, in place. */

import { loadAddon } from '../addon.ts'
import { check, checkShape, floats, kernel, sizeOf } from './kernel.ts'

/** {param, m, v, gradient} -> []; `step` counts from 1. Corrections in float64, as PyTorch has them. */
export const adamUpdate = kernel('AdamUpdate', ({ inputs: { param, m, v, gradient }, backend, attrs }) => {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs as Record<string, number> & {
    learningRate: number
    beta1: number
    beta2: number
    epsilon: number
    weightDecay: number
    step: number
  }
  check(Number.isInteger(step) && step >= 1, 'AdamUpdate', `expected a step from 1 on, found ${step}`)
  for (const [name, tensor] of Object.entries({ m, v, gradient })) checkShape('AdamUpdate', name, tensor!, param!.shape)
  loadAddon().adamUpdate(
    floats(backend, param!),
    floats(backend, m!),
    floats(backend, v!),
    floats(backend, gradient!),
    sizeOf(param!.shape),
    beta1,
    beta2,
    epsilon,
    weightDecay,
    learningRate / (1 - beta1 ** step),
    Math.sqrt(1 - beta2 ** step),
  )
  return []
})
