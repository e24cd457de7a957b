/**
 * tfjs' three Conv3D kernels; `pad` may be a number, which pads all sides, as PyTorch does. And two with group norm + ReLU
 * in front, applied to the input's rows as they are read.
 */

import { backend_util, type TensorInfo } from '@tensorflow/tfjs'
import { loadAddon, type Precision } from '../addon.ts'
import { check, checkShape, floats, kernel, type Call, type KernelBackend } from './kernel.ts'

type Shape5 = [number, number, number, number, number]
type Strides = number | [number, number, number]
type Pad = 'valid' | 'same'

interface Geometry {
  /** As conv3d_shape in addon.cc reads it. */
  readonly flat: number[]
  readonly outShape: Shape5
}

/** A network asks for the same few dozen at every step; finding one anew takes as long as a small convolution. */
const known = new Map<string, Geometry>()
const mostKnown = 1000

function geometry(
  name: string,
  xShape: readonly number[],
  filterShape: readonly number[],
  attrs: Readonly<Record<string, unknown>>,
): Geometry {
  const { strides, pad, dilations } = attrs
  const key = [xShape, filterShape, strides, pad, dilations].join(';')
  let found = known.get(key)
  if (!found) {
    found = newGeometry(name, xShape, filterShape, attrs)
    if (known.size >= mostKnown) known.clear()
    known.set(key, found)
  }
  return found
}

function newGeometry(
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

/** {x, filter, mean, rstd, gamma, beta, residual?} -> conv3d(relu(GN(x))) + residual; mean and rstd are (N, groups). */
export const normReluConv3d = kernel('NormReluConv3D', call => {
  const name = 'NormReluConv3D'
  const { x, filter, residual } = call.inputs as Record<string, TensorInfo> & { x: TensorInfo; filter: TensorInfo }
  const { backend, attrs } = call
  const { flat, outShape } = geometry(name, x.shape, filter.shape, attrs)
  if (residual) checkShape(name, 'residual', residual, outShape)
  const norm = normTable(name, call)
  const { info, values } = backend.output(outShape)
  loadAddon().conv3dForward(
    floats(backend, x),
    floats(backend, filter),
    values,
    flat,
    precisionOf(backend, flat),
    norm,
    residual ? floats(backend, residual) : null,
  )
  return info
})

/** {x, dy, mean, rstd, gamma, beta} -> gradient of the filter in `NormReluConv3D` */
export const normReluConv3dFilterGradient = kernel('NormReluConv3DBackpropFilter', call => {
  const name = 'NormReluConv3DBackpropFilter'
  const { x, dy } = call.inputs as Record<string, TensorInfo> & { x: TensorInfo; dy: TensorInfo }
  const { backend, attrs } = call
  const filterShape = attrs['filterShape'] as number[]
  const { flat, outShape } = geometry(name, x.shape, filterShape, attrs)
  checkShape(name, 'dy', dy, outShape)
  const norm = normTable(name, call)
  const { info, values } = backend.output(filterShape)
  loadAddon().conv3dFilterGradient(
    floats(backend, x),
    floats(backend, dy),
    values,
    flat,
    precisionOf(backend, flat),
    norm,
  )
  return info
})

/** (N, 3, C): mean, gamma rstd and beta of each channel. */
function normTable(name: string, { inputs, backend }: Call): Float32Array {
  const [x, mean, rstd, gamma, beta] = ['x', 'mean', 'rstd', 'gamma', 'beta'].map(key => inputs[key]!) as [
    TensorInfo,
    TensorInfo,
    TensorInfo,
    TensorInfo,
    TensorInfo,
  ]
  const [batch, channels, groups] = [x.shape[0]!, x.shape.at(-1)!, mean.shape.at(-1)!]
  check(channels % groups === 0, name, `expected groups that divide the ${channels} channels, found ${groups}`)
  checkShape(name, 'mean', mean, [batch, groups])
  checkShape(name, 'rstd', rstd, [batch, groups])
  checkShape(name, 'gamma', gamma, [channels])
  checkShape(name, 'beta', beta, [channels])
  const [means, rstds, gammas, betas] = [mean, rstd, gamma, beta].map(tensor => floats(backend, tensor))
  const table = new Float32Array(batch * 3 * channels)
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const group = n * groups + Math.floor(c / (channels / groups))
      table[n * 3 * channels + c] = means![group]!
      table[(n * 3 + 1) * channels + c] = gammas![c]! * rstds![group]!
      table[(n * 3 + 2) * channels + c] = betas![c]!
    }
  return table
}
