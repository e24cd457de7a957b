/** Records the kernels of a convolution and of its gradients. */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../../backend.ts'
import { checkFloats } from '../dtypes.ts'
import { spread } from '../../program.ts'
import { sizeOf } from '../kernel.ts'
import {
  gatheredFilterGradient,
  gatheredForward,
  gatheredInputGradient,
  gatherThreads,
  gatherUniforms,
} from './gather.ts'
import { isHalf, volumeOf, type Geometry } from './geometry.ts'
import type { Norm } from './norm.ts'
import { addPartialSums } from './partial-sums.ts'
import { planConvolution, planOfFilterGradient, type Planned, type PlannedFilterGradient } from './plan.ts'
import { scaleOf } from './scale.ts'

/** Partial sums of several samples at once: so many bytes, or one sample. */
const mostPartialBytes = 64 << 20

interface Operands {
  /** For the gradient: dy. */
  readonly x: TensorInfo
  readonly filters: TensorInfo
  readonly gradient?: boolean
  readonly norm?: Norm
  readonly residual?: TensorInfo | undefined
}

/** conv3d(x) + residual, or dx. */
export function runConvolution(
  backend: GpuBackend,
  geometry: Geometry,
  { x, filters, gradient = false, norm, residual }: Operands,
): TensorInfo {
  const { batch, input, channelsIn, outShape } = geometry
  checkFloats([x, filters, residual, ...Object.values(norm?.buffers ?? {})])
  const half = isHalf(backend.precision, geometry)
  const unit = half ? backend.matrixUnit : undefined
  const form = { groups: norm?.groups, residual: residual !== undefined, half, unit }
  const y = backend.output(gradient ? [batch, ...input, channelsIn] : outShape)
  const scale = gradient && half ? scaleOf(backend, x) : undefined
  const buffers = { x, filters, y, ...norm?.buffers, ...(residual && { residual }), ...(scale && { scale }) }
  const planned = remembered(backend, [geometry.key, gradient, form], () =>
    planConvolution(geometry, gradient, form, backend.device.limits),
  )
  if (planned) {
    const { key, program, uniforms } = planned
    backend.run(key, program, { buffers, uniforms, workgroups: spread(uniforms['groups']!) })
  } else {
    const size = sizeOf(y.shape)
    const groups = Math.ceil(size / gatherThreads)
    const program = () =>
      gradient ? gatheredInputGradient(half) : gatheredForward({ ...form, norm: norm !== undefined })
    backend.run(`gather ${gradient} ${norm !== undefined} ${form.residual} ${half}`, program, {
      buffers,
      uniforms: { ...gatherUniforms(geometry, groups, norm?.groups), size },
      workgroups: spread(groups),
    })
  }
  if (scale) backend.disposeData(scale.dataId)
  return y
}

/** dfilter; samples are added one after another, whatever is computed at once. */
export function runFilterGradient(
  backend: GpuBackend,
  geometry: Geometry,
  { x, dy, norm }: { readonly x: TensorInfo; readonly dy: TensorInfo; readonly norm?: Norm },
): TensorInfo {
  const { batch, filter, channelsIn, channelsOut } = geometry
  checkFloats([x, dy, ...Object.values(norm?.buffers ?? {})])
  const half = isHalf(backend.precision, geometry)
  const total = backend.output([...filter, channelsIn, channelsOut])
  const scale = half ? scaleOf(backend, dy) : undefined
  const unit = half ? backend.matrixUnit : undefined
  const planned = remembered(backend, ['filter', geometry.key, norm?.groups, half], () =>
    planOfFilterGradient(geometry, { groups: norm?.groups, half, unit }, backend.device.limits),
  )
  const chunks = planned?.chunks ?? 1
  const values = volumeOf(filter) * channelsIn * channelsOut
  const atOnce = Math.max(1, Math.floor(mostPartialBytes / (4 * chunks * values)))
  for (let firstSample = 0; firstSample < batch; firstSample += atOnce) {
    const samples = Math.min(atOnce, batch - firstSample)
    const sums = backend.output([samples, chunks, ...total.shape])
    const buffers = { x, dy, sums, ...norm?.buffers, ...(scale && { scale }) }
    if (planned) {
      const groups = samples * planned.groupsPerSample
      const uniforms = { ...planned.uniforms, groups, firstSample }
      backend.run(planned.key, planned.program, { buffers, uniforms, workgroups: spread(groups) })
    } else {
      const groups = samples * values
      const program = () => gatheredFilterGradient({ norm: norm !== undefined, half })
      backend.run(`gather filter ${norm !== undefined} ${half}`, program, {
        buffers,
        uniforms: { ...gatherUniforms(geometry, groups, norm?.groups), firstSample },
        workgroups: spread(groups),
      })
    }
    addPartialSums(backend, total, { sums, samples, firstSample, chunks, scale })
    backend.disposeData(sums.dataId)
  }
  if (scale) backend.disposeData(scale.dataId)
  return total
}

/** A network asks for the same few dozen at every step; each backend has the limits of its own device. */
const plans = new WeakMap<GpuBackend, Map<string, unknown>>()
const mostPlans = 1000

function remembered<Plan extends Planned | PlannedFilterGradient | undefined>(
  backend: GpuBackend,
  parts: readonly unknown[],
  plan: () => Plan,
): Plan {
  const own = plans.get(backend) ?? new Map<string, unknown>()
  plans.set(backend, own)
  const key = JSON.stringify(parts)
  if (own.has(key)) return own.get(key) as Plan
  if (own.size >= mostPlans) own.clear()
  const found = plan()
  own.set(key, found)
  return found
}
