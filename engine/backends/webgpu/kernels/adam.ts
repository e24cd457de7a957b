/** Adam's update of one tensor, in place. */

import type { Program } from '../program.ts'
import { spread } from '../program.ts'
import { check, checkShape, kernel, sizeOf } from './kernel.ts'

const lanes = 64

const program: Program = {
  name: 'AdamUpdate',
  bindings: [
    { name: 'param', type: 'array<f32>', access: 'read_write' },
    { name: 'm', type: 'array<f32>', access: 'read_write' },
    { name: 'v', type: 'array<f32>', access: 'read_write' },
    { name: 'gradient', type: 'array<f32>', access: 'read' },
  ],
  uniforms: {
    size: 'u32',
    beta1: 'f32',
    oneMinusBeta1: 'f32',
    beta2: 'f32',
    oneMinusBeta2: 'f32',
    epsilon: 'f32',
    weightDecay: 'f32',
    stepSize: 'f32',
    rootOfCorrection: 'f32',
  },
  code: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${lanes}u + lane;
  if (i >= u.size) { return; }
  let g = gradient[i] + u.weightDecay * param[i];
  let mean = u.beta1 * m[i] + u.oneMinusBeta1 * g;
  let square = u.beta2 * v[i] + u.oneMinusBeta2 * g * g;
  m[i] = mean;
  v[i] = square;
  param[i] -= u.stepSize * mean / (sqrt(square) / u.rootOfCorrection + u.epsilon);
}`,
}

/** {param, m, v, gradient} -> []; `step` counts from 1. Corrections in float64, as PyTorch has them. */
export const adamUpdate = kernel('AdamUpdate', ({ inputs: { param, m, v, gradient }, backend, attrs }) => {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs as Record<
    'learningRate' | 'beta1' | 'beta2' | 'epsilon' | 'weightDecay' | 'step',
    number
  >
  check(Number.isInteger(step) && step >= 1, 'AdamUpdate', `expected a step from 1 on, found ${step}`)
  for (const [name, tensor] of Object.entries({ m, v, gradient })) checkShape('AdamUpdate', name, tensor!, param!.shape)
  const size = sizeOf(param!.shape)
  backend.run('AdamUpdate', () => program, {
    buffers: { param: param!, m: m!, v: v!, gradient: gradient! },
    uniforms: {
      size,
      beta1,
      oneMinusBeta1: 1 - beta1,
      beta2,
      oneMinusBeta2: 1 - beta2,
      epsilon,
      weightDecay,
      stepSize: learningRate / (1 - beta1 ** step),
      rootOfCorrection: Math.sqrt(1 - beta2 ** step),
    },
    workgroups: spread(Math.ceil(size / lanes)),
  })
  return []
})
