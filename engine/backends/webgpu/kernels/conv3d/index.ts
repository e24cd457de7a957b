/**
 * TensorFlow.js' three Conv3D kernels; `pad` may be a number, which pads all sides, as PyTorch does. And two with group
 * norm + ReLU in front, applied to the input as it is read; zeros are padded after the norm.
 *
 * In "float16" the operands of the convolutions that cost the time are rounded to half precision, their products added in
 * float32; gradients are scaled into its range first, by a power of two. In "float16-matrix" the same is done by the GPU's
 * matrix units, but for filters that no tile of theirs holds.
 *
 * The gradient of a filter over N samples has the bits of N calls for one sample each, added in order: ((g0 + g1) + g2)...
 */

import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs'
import { checkShape, kernel } from '../kernel.ts'
import { geometryOf } from './geometry.ts'
import { normOf } from './norm.ts'
import { runConvolution, runFilterGradient } from './run.ts'

const conv3d = kernel('Conv3D', ({ inputs: { x, filter }, backend, attrs }) => {
  const geometry = geometryOf('Conv3D', x!.shape, filter!.shape, attrs)
  return runConvolution(backend, geometry, { x: x!, filters: filter! })
})

const inputGradient = kernel('Conv3DBackpropInputV2', ({ inputs: { dy, filter }, backend, attrs }) => {
  const inputShape = attrs['inputShape'] as number[]
  const geometry = geometryOf('Conv3DBackpropInputV2', inputShape, filter!.shape, attrs)
  checkShape('Conv3DBackpropInputV2', 'dy', dy!, geometry.outShape)
  return runConvolution(backend, geometry, { x: dy!, filters: filter!, gradient: true })
})

const filterGradient = kernel('Conv3DBackpropFilterV2', ({ inputs: { x, dy }, backend, attrs }) => {
  const geometry = geometryOf('Conv3DBackpropFilterV2', x!.shape, attrs['filterShape'] as number[], attrs)
  checkShape('Conv3DBackpropFilterV2', 'dy', dy!, geometry.outShape)
  return runFilterGradient(backend, geometry, { x: x!, dy: dy! })
})

/** {x, filter, mean, rstd, gamma, beta, residual?} -> conv3d(relu(GN(x))) + residual; mean and rstd are (N, groups). */
const normReluConv3d = kernel('NormReluConv3D', call => {
  const { x, filter, residual } = call.inputs as Record<string, TensorInfo> & { x: TensorInfo; filter: TensorInfo }
  const geometry = geometryOf('NormReluConv3D', x.shape, filter.shape, call.attrs)
  if (residual) checkShape('NormReluConv3D', 'residual', residual, geometry.outShape)
  return runConvolution(call.backend, geometry, { x, filters: filter, residual, norm: normOf('NormReluConv3D', call) })
})

/** {x, dy, mean, rstd, gamma, beta} -> gradient of the filter in `NormReluConv3D` */
const normReluConv3dFilterGradient = kernel('NormReluConv3DBackpropFilter', call => {
  const name = 'NormReluConv3DBackpropFilter'
  const { x, dy } = call.inputs as Record<string, TensorInfo> & { x: TensorInfo; dy: TensorInfo }
  const geometry = geometryOf(name, x.shape, call.attrs['filterShape'] as number[], call.attrs)
  checkShape(name, 'dy', dy, geometry.outShape)
  return runFilterGradient(call.backend, geometry, { x, dy, norm: normOf(name, call) })
})

export const conv3dKernels: readonly KernelConfig[] = [
  conv3d,
  inputGradient,
  filterGradient,
  normReluConv3d,
  normReluConv3dFilterGradient,
]
