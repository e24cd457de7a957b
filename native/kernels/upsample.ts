/** Trilinear up-sampling by 2, with a skip connection added in the same pass, and its gradient. */

import { loadAddon } from '../addon.ts'
import { check, checkShape, checkVolumes, floats, kernel } from './kernel.ts'

/** {x, skip?} -> y, twice as large along each spatial axis. */
export const upsampleTrilinear2 = kernel('UpsampleTrilinear2', ({ inputs: { x, skip }, backend }) => {
  checkVolumes('UpsampleTrilinear2', 'x', x!)
  const [n, d, h, w, c] = x!.shape as [number, number, number, number, number]
  const shape = [n, 2 * d, 2 * h, 2 * w, c]
  if (skip) checkShape('UpsampleTrilinear2', 'skip', skip, shape)
  const { info, values } = backend.output(shape)
  loadAddon().upsampleForward(floats(backend, x!), skip ? floats(backend, skip) : null, values, x!.shape)
  return info
})

/** {dy} -> dx, half as large. */
export const upsampleTrilinear2Grad = kernel('UpsampleTrilinear2Grad', ({ inputs: { dy }, backend }) => {
  checkVolumes('UpsampleTrilinear2Grad', 'dy', dy!)
  const [n, d, h, w, c] = dy!.shape as [number, number, number, number, number]
  const even = [d, h, w].every(size => size % 2 === 0)
  check(even, 'UpsampleTrilinear2Grad', `expected even sizes, found ${d} x ${h} x ${w}`)
  const shape = [n, d / 2, h / 2, w / 2, c]
  const { info, values } = backend.output(shape)
  loadAddon().upsampleGradient(floats(backend, dy!), values, shape)
  return info
})
