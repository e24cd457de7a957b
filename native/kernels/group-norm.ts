/** Group norm with ReLU, and its gradient: one kernel each where a composition takes ten passes over memory. */

import type { TensorInfo } from '@tensorflow/tfjs'
import { loadAddon } from '../addon.ts'
import { check, checkShape, checkVolumes, floats, kernel } from './kernel.ts'

/** [batch, voxels, channels, groups] of (N, D, H, W, C). */
function flatShape(shape: readonly number[], groups: number): number[] {
  const channels = shape.at(-1)!
  return [shape[0]!, shape.slice(1, -1).reduce((product, n) => product * n, 1), channels, groups]
}

function checkGroups(name: string, x: TensorInfo, groups: number): void {
  checkVolumes(name, 'x', x)
  const channels = x.shape.at(-1)!
  const divides = Number.isInteger(groups) && groups > 0 && channels % groups === 0
  check(divides, name, `expected groups that divide the ${channels} channels, found ${groups}`)
}

function checkInputs(name: string, x: TensorInfo, gamma: TensorInfo, beta: TensorInfo, groups: number): void {
  checkGroups(name, x, groups)
  const channels = x.shape.at(-1)!
  checkShape(name, 'gamma', gamma, [channels])
  checkShape(name, 'beta', beta, [channels])
}

/** {x, gamma, beta} -> [y, mean (N, groups), rstd (N, groups)] */
export const groupNormRelu = kernel('GroupNormRelu', ({ inputs: { x, gamma, beta }, backend, attrs }) => {
  const groups = attrs['groups'] as number
  checkInputs('GroupNormRelu', x!, gamma!, beta!, groups)
  const y = backend.output(x!.shape)
  const mean = backend.output([x!.shape[0]!, groups])
  const rstd = backend.output([x!.shape[0]!, groups])
  loadAddon().groupNormForward(
    floats(backend, x!),
    floats(backend, gamma!),
    floats(backend, beta!),
    y.values,
    mean.values,
    rstd.values,
    flatShape(x!.shape, groups),
    attrs['epsilon'] as number,
    attrs['relu'] as boolean,
  )
  return [y.info, mean.info, rstd.info]
})

/** {x} -> [mean (N, groups), rstd (N, groups)] */
export const groupNormStatistics = kernel('GroupNormStatistics', ({ inputs: { x }, backend, attrs }) => {
  const name = 'GroupNormStatistics'
  const groups = attrs['groups'] as number
  checkGroups(name, x!, groups)
  const mean = backend.output([x!.shape[0]!, groups])
  const rstd = backend.output([x!.shape[0]!, groups])
  const unused = new Float32Array(x!.shape.at(-1)!)
  loadAddon().groupNormForward(
    floats(backend, x!),
    unused,
    unused,
    null,
    mean.values,
    rstd.values,
    flatShape(x!.shape, groups),
    attrs['epsilon'] as number,
    false,
  )
  return [mean.info, rstd.info]
})

/** {dy, x, gamma, beta, mean, rstd, residual?} -> [dx + residual, dgamma, dbeta]; with `inPlace`, dx takes dy's memory if nobody else holds it. */
export const groupNormReluGrad = kernel(
  'GroupNormReluGrad',
  ({ inputs: { dy, x, gamma, beta, mean, rstd, residual }, backend, attrs }) => {
    const name = 'GroupNormReluGrad'
    const groups = attrs['groups'] as number
    checkInputs(name, x!, gamma!, beta!, groups)
    checkShape(name, 'dy', dy!, x!.shape)
    checkShape(name, 'mean', mean!, [x!.shape[0]!, groups])
    checkShape(name, 'rstd', rstd!, [x!.shape[0]!, groups])
    if (residual) checkShape(name, 'residual', residual, x!.shape)
    const dgamma = backend.output(gamma!.shape)
    const dbeta = backend.output(beta!.shape)
    const dx = attrs['inPlace'] ? backend.overwriting(dy!) : backend.output(x!.shape)
    loadAddon().groupNormGradient(
      floats(backend, dy!),
      floats(backend, x!),
      floats(backend, gamma!),
      floats(backend, beta!),
      floats(backend, mean!),
      floats(backend, rstd!),
      dx.values,
      dgamma.values,
      dbeta.values,
      flatShape(x!.shape, groups),
      attrs['epsilon'] as number,
      attrs['relu'] as boolean,
      residual ? floats(backend, residual) : null,
    )
    return [dx.info, dgamma.info, dbeta.info]
  },
)
