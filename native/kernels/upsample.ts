/** Trilinear up-sampling by 2, with a skip connection added in the same pass, and its gradient. */

import { loadAddon } from '../addon.ts'
import { floats, kernel } from './kernel.ts'

/** {x, skip?} -> y, twice as large along each spatial axis. */
export const upsampleTrilinear2 = kernel('UpsampleTrilinear2', ({ inputs: { x, skip }, backend }) => {
  const [n, d, h, w, c] = x!.shape as [number, number, number, number, number]
  const { info, values } = backend.output([n, 2 * d, 2 * h, 2 * w, c])
  loadAddon().upsampleForward(floats(backend, x!), skip ? floats(backend, skip) : null, values, x!.shape)
  return info
})

/** {dy} -> dx, half as large. */
export const upsampleTrilinear2Grad = kernel('UpsampleTrilinear2Grad', ({ inputs: { dy }, backend }) => {
  const [n, d, h, w, c] = dy!.shape as [number, number, number, number, number]
  const shape = [n, d / 2, h / 2, w / 2, c]
  const { info, values } = backend.output(shape)
  loadAddon().upsampleGradient(floats(backend, dy!), values, shape)
  return info
})
