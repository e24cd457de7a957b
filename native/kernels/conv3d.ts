/** tfjs' three Conv3D kernels; `pad` may be a number, which pads all sides, as PyTorch does. */

import { backend_util } from '@tensorflow/tfjs'
import { loadAddon, type Precision } from '../addon.ts'
import { check, checkShape, floats, kernel, type KernelBackend } from './kernel.ts'

type Shape5 = [number, number, number, number, number]
type Strides = number | [number, number, number]
type Pad = 'valid' | 'same'

interface Geometry {
  /** As conv3d_shape in addon.cc reads it. */
  readonly flat: number[]
  readonly outShape: Shape5
}

function geometry(
  name: string,
  xShape: readonly number[],
  filterShape: readonly number[],
  attrs: Readonly<Record<string, unknown>>,
): Geometry {
  const dilations = [(attrs['dilations'] as Strides | undefined) ?? 1].flat()
  const sizes = `an input of ${xShape.join(' x ')} and a filter of ${filterShape.join(' x ')}`
  check(
    dilations.every(n => n === 1),
    name,
    `the native backend has no dilation but 1, found ${dilations.join(', ')}`,
  )
  check(xShape.length === 5 && filterShape.length === 5, name, `expected five axes each, found ${sizes}`)
  check(xShape[4] === filterShape[3], name, `expected as many channels in both, found ${sizes}`)
  const info = backend_util.computeConv3DInfo(
    xShape as Shape5,
    filterShape as Shape5,
    attrs['strides'] as Strides,
    1,
    attrs['pad'] as Pad,
  )
  const flat = [
    info.batchSize,
    info.inDepth,
    info.inHeight,
    info.inWidth,
    info.inChannels,
    info.filterDepth,
    info.filterHeight,
    info.filterWidth,
    info.outDepth,
    info.outHeight,
    info.outWidth,
    info.outChannels,
    info.strideDepth,
    info.strideHeight,
    info.strideWidth,
    info.padInfo.front,
    info.padInfo.top,
    info.padInfo.left,
  ]
  const voxels = flat.slice(0, 12)
  check(
    voxels.every(n => n >= 1),
    name,
    `expected at least one voxel and channel in and out, found ${sizes}`,
  )
  return { flat, outShape: info.outShape }
}

/**
 * bfloat16 serves the convolutions that cost the time. One tap per filter waits for memory anyway, and where one channel
 * comes in it is the image, whose grey values bfloat16 would cut to 8 bits: both stay float32.
 */
function precisionOf({ precision }: KernelBackend, flat: readonly number[]): Precision {
  const [channelsIn, taps] = [flat[4]!, flat[5]! * flat[6]! * flat[7]!]
  return taps === 1 || channelsIn === 1 ? 'float32' : precision
}

export const conv3d = kernel('Conv3D', ({ inputs: { x, filter }, backend, attrs }) => {
  const { flat, outShape } = geometry('Conv3D', x!.shape, filter!.shape, attrs)
  const { info, values } = backend.output(outShape)
  loadAddon().conv3dForward(floats(backend, x!), floats(backend, filter!), values, flat, precisionOf(backend, flat))
  return info
})

export const conv3dInputGradient = kernel('Conv3DBackpropInputV2', ({ inputs: { dy, filter }, backend, attrs }) => {
  const inputShape = attrs['inputShape'] as number[]
  const { flat, outShape } = geometry('Conv3DBackpropInputV2', inputShape, filter!.shape, attrs)
  checkShape('Conv3DBackpropInputV2', 'dy', dy!, outShape)
  const { info, values } = backend.output(inputShape)
  loadAddon().conv3dInputGradient(
    floats(backend, dy!),
    floats(backend, filter!),
    values,
    flat,
    precisionOf(backend, flat),
  )
  return info
})

export const conv3dFilterGradient = kernel('Conv3DBackpropFilterV2', ({ inputs: { x, dy }, backend, attrs }) => {
  const filterShape = attrs['filterShape'] as number[]
  const { flat, outShape } = geometry('Conv3DBackpropFilterV2', x!.shape, filterShape, attrs)
  checkShape('Conv3DBackpropFilterV2', 'dy', dy!, outShape)
  const { info, values } = backend.output(filterShape)
  loadAddon().conv3dFilterGradient(floats(backend, x!), floats(backend, dy!), values, flat, precisionOf(backend, flat))
  return info
})
