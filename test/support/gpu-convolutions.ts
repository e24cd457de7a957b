/** A case of the webgpu backend's convolution kernels, run by name and compared with float64. Loads TensorFlow.js. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor } from '@tensorflow/tfjs'
import type { Test } from 'tap'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, outputShape, type Shape5 } from '../reference/conv3d.ts'
import { normals, relativeDistance, toFloat16 } from './numbers.ts'

export type Triple = readonly [number, number, number]

export interface ConvolutionCase {
  readonly batch: number
  readonly size: Triple
  readonly ci: number
  readonly co: number
  readonly kernel: Triple
  readonly stride: Triple
  readonly pad: number
  /** Groups of a norm in front. */
  readonly groups?: number | undefined
}

export interface Comparison {
  readonly tolerance: number
  /** Whether the kernels round operands to half precision. */
  readonly half: boolean
  /** Of dy. */
  readonly gradientScale?: number
}

type Values = ArrayLike<number>
export type KernelInputs = Readonly<Record<string, readonly [values: Values, shape: readonly number[]]>>

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

export const cube = (n: number): Triple => [n, n, n]

export function nameOf({ batch, size: extents, ci, co, kernel, stride, pad, groups }: ConvolutionCase): string {
  const norm = groups ? `, ${groups} groups` : ''
  return `${ci} to ${co} channels, ${batch} x ${extents.join(' x ')}, kernel ${kernel.join(' x ')}, stride ${stride.join(', ')}, padding ${pad}${norm}`
}

/** Whether there is an output at all. */
export function fits(c: ConvolutionCase): boolean {
  return c.size.every((n, axis) => n + 2 * c.pad >= c.kernel[axis]!)
}

/** A kernel of the current backend; nothing but its result is left. */
export function runKernel(name: string, inputs: KernelInputs, attrs: Record<string, unknown>): Tensor {
  return tf.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([key, [values, shape]]) => [key, tf.tensor(Float32Array.from(values), [...shape])]),
    )
    return tf.engine().runKernel(name, tensors, attrs as never) as Tensor
  })
}

/** The values of a kernel's result, which is disposed of. */
export async function resultOf(...call: Parameters<typeof runKernel>): Promise<Float32Array> {
  const tensor = runKernel(...call)
  const values = await tensor.data<'float32'>()
  tensor.dispose()
  return values
}

/** Inputs of all five kernels for a case; for what is random, always the same. */
export function inputsOf({ batch, size: extents, ci, co, kernel, stride, pad, groups = 1 }: ConvolutionCase): {
  readonly x: readonly [Float32Array, Shape5]
  readonly filter: readonly [Float32Array, Shape5]
  readonly dy: readonly [Float32Array, Shape5]
  readonly residual: readonly [Float32Array, Shape5]
  readonly norm: KernelInputs
  readonly attrs: { readonly strides: number[]; readonly pad: number }
} {
  const xShape: Shape5 = [batch, ...extents, ci]
  const filterShape: Shape5 = [...kernel, ci, co]
  const yShape = outputShape(xShape, filterShape, stride, pad)
  return {
    x: [normals(size(xShape), 'x'), xShape],
    filter: [normals(size(filterShape), 'filter'), filterShape],
    dy: [normals(size(yShape), 'dy'), yShape],
    residual: [normals(size(yShape), 'residual'), yShape],
    norm: {
      mean: [normals(batch * groups, 'mean'), [batch, groups]],
      rstd: [normals(batch * groups, 'rstd'), [batch, groups]],
      gamma: [normals(ci, 'gamma'), [ci]],
      beta: [normals(ci, 'beta'), [ci]],
    },
    attrs: { strides: [...stride], pad },
  }
}

/** Every kernel of a case against float64 on the same numbers, rounded as the kernels round them. */
export async function compareConvolution(
  t: Test,
  c: ConvolutionCase,
  { tolerance, half, gradientScale = 1 }: Comparison,
): Promise<void> {
  const { x, filter, residual, norm, attrs, ...given } = inputsOf(c)
  const dy = [given.dy[0].map(value => value * gradientScale), given.dy[1]] as const
  const rounded = (values: Values): Values => (half ? toFloat16(values) : values)
  // A power of two takes each sample's gradient into half precision's range first.
  const roundedDy = half ? roundedBySample(dy[0], c.batch) : dy[0]
  const close = async (what: string, found: Tensor, expected: Values): Promise<void> => {
    const distance = relativeDistance(await found.data(), expected)
    found.dispose()
    t.ok(distance < tolerance, `${what}: relative distance ${distance}`)
  }

  const reference = (input: Values): Float64Array =>
    conv3d(rounded(input), x[1], rounded(filter[0]), filter[1], c.stride, c.pad).y
  await close('y', runKernel('Conv3D', { x, filter }, attrs), reference(x[0]))
  const dx = conv3dInputGradient(roundedDy, dy[1], rounded(filter[0]), filter[1], x[1], c.stride, c.pad)
  await close('dx', runKernel('Conv3DBackpropInputV2', { dy, filter }, { ...attrs, inputShape: [...x[1]] }), dx)
  const gradient = (input: Values): Float64Array =>
    conv3dFilterGradient(rounded(input), x[1], roundedDy, dy[1], filter[1], c.stride, c.pad)
  const filterAttrs = { ...attrs, filterShape: [...filter[1]] }
  await close('dfilter', runKernel('Conv3DBackpropFilterV2', { x, dy }, filterAttrs), gradient(x[0]))

  if (c.groups === undefined) return
  const normed = normalised(x, c.groups, norm)
  await close('y behind a norm', runKernel('NormReluConv3D', { x, filter, ...norm }, attrs), reference(normed))
  await close(
    'y behind a norm, with a residual',
    runKernel('NormReluConv3D', { x, filter, residual, ...norm }, attrs),
    reference(normed).map((value, i) => value + residual[0][i]!),
  )
  await close(
    'dfilter behind a norm',
    runKernel('NormReluConv3DBackpropFilter', { x, dy, ...norm }, filterAttrs),
    gradient(normed),
  )
}

interface KernelCall {
  readonly name: string
  readonly inputs: KernelInputs
  readonly attrs: { readonly inputShape?: number[]; readonly filterShape?: number[] } & Record<string, unknown>
}

/** All five kernels, with a residual where there may be one. */
export function callsOf(c: ConvolutionCase): KernelCall[] {
  const { x, filter, dy, residual, norm, attrs } = inputsOf(c)
  const filterAttrs = { ...attrs, filterShape: [...filter[1]] }
  return [
    { name: 'Conv3D', inputs: { x, filter }, attrs },
    { name: 'Conv3DBackpropInputV2', inputs: { dy, filter }, attrs: { ...attrs, inputShape: [...x[1]] } },
    { name: 'Conv3DBackpropFilterV2', inputs: { x, dy }, attrs: filterAttrs },
    { name: 'NormReluConv3D', inputs: { x, filter, residual, ...norm }, attrs },
    { name: 'NormReluConv3DBackpropFilter', inputs: { x, dy, ...norm }, attrs: filterAttrs },
  ]
}

/** A batch has the bits of its samples, filter gradients of their sums in order. */
export async function compareBatch(t: Test, c: ConvolutionCase): Promise<void> {
  for (const { name, inputs, attrs } of callsOf(c)) {
    const whole = await resultOf(name, inputs, attrs)
    const parts: Float32Array[] = []
    for (let n = 0; n < c.batch; n++) {
      const alone = Object.entries(inputs).map(([key, input]) => [key, shared.has(key) ? input : sampleOf(input, n)])
      const { inputShape } = attrs
      const ofOne = inputShape ? { ...attrs, inputShape: [1, ...inputShape.slice(1)] } : attrs
      parts.push(await resultOf(name, Object.fromEntries(alone) as KernelInputs, ofOne))
    }
    if (!attrs.filterShape) {
      const joined = Float32Array.from(parts.flatMap(part => [...part]))
      t.ok(sameBits(whole, joined), name)
      continue
    }
    const sum = parts.reduce((total, part) => total.map((value, i) => value + part[i]!))
    t.ok(sameBits(whole, sum), name)
  }
}

/** Inputs that all samples share. */
const shared: ReadonlySet<string> = new Set(['filter', 'gamma', 'beta'])

function sampleOf([values, [batch, ...rest]]: KernelInputs[string], n: number): KernelInputs[string] {
  const step = values.length / batch!
  return [Float32Array.from(values).subarray(n * step, (n + 1) * step), [1, ...rest]]
}

export function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}

function roundedBySample(dy: Float32Array, batch: number): Float64Array {
  const rounded = new Float64Array(dy.length)
  const step = dy.length / batch
  for (let n = 0; n < batch; n++) {
    const sample = dy.subarray(n * step, (n + 1) * step)
    const largest = sample.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const scale = 2 ** (14 - Math.floor(Math.log2(largest)))
    rounded.set(
      toFloat16(sample.map(value => value * scale)).map(value => value / scale),
      n * step,
    )
  }
  return rounded
}

/** relu(GN(x)) in float64. */
function normalised([x, shape]: readonly [Float32Array, Shape5], groups: number, norm: KernelInputs): Float64Array {
  const [batch, , , , ci] = shape
  const perSample = x.length / batch
  return Float64Array.from(x, (value, i) => {
    const channel = i % ci
    const group = Math.floor(i / perSample) * groups + Math.floor(channel / (ci / groups))
    const scale = norm['gamma']![0][channel]! * norm['rstd']![0][group]!
    return Math.max(0, (value - norm['mean']![0][group]!) * scale + norm['beta']![0][channel]!)
  })
}
