/** Element-wise kernels and sums of tfjs, in the forms that the network uses; others are left to tfjs by giving undefined. */

import { backend_util, util, type TensorInfo } from '@tensorflow/tfjs'
import { elementwiseOps, loadAddon } from '../addon.ts'
import { floats, sizeOf, type Call, type KernelBackend } from './kernel.ts'

/** A kernel that serves only some calls: undefined means that tfjs' own must. */
export type PartialKernel = (call: Call) => TensorInfo | TensorInfo[] | undefined

/** How b repeats along a, or undefined where it does not repeat along the trailing axes. */
function periodOf(a: readonly number[], b: readonly number[]): number | undefined {
  const size = sizeOf(b)
  if (size === 1) return b.length <= a.length ? 1 : undefined
  const trailing = b.slice(b.findIndex(n => n !== 1))
  const matches = b.length <= a.length && trailing.every((n, i) => n === a[a.length - trailing.length + i])
  return matches ? size : undefined
}

function binary(op: number, commutes: boolean): PartialKernel {
  return ({ inputs, backend }) => {
    const a = inputs['a']!
    const b = inputs['b']!
    if (a.dtype !== 'float32' || b.dtype !== 'float32' || sizeOf(a.shape) === 0 || sizeOf(b.shape) === 0)
      return undefined
    const period = periodOf(a.shape, b.shape)
    if (period !== undefined) return apply(backend, op, a, b, period)
    const swapped = commutes ? periodOf(b.shape, a.shape) : undefined
    return swapped === undefined ? undefined : apply(backend, op, b, a, swapped)
  }
}

function apply(backend: KernelBackend, op: number, a: TensorInfo, b: TensorInfo, period: number): TensorInfo {
  const { info, values } = backend.output(a.shape)
  loadAddon().elementwise(op, values.length, period, floats(backend, a), floats(backend, b), values)
  return info
}

function fill(backend: KernelBackend, shape: readonly number[], value: number): TensorInfo | undefined {
  if (sizeOf(shape) === 0) return undefined
  const { info, values } = backend.output(shape)
  loadAddon().elementwise(elementwiseOps.fill, values.length, 1, null, Float32Array.of(value), values)
  return info
}

/** Over all axes, or over the first ones: what a bias's gradient is. */
const sum: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  if (x.dtype !== 'float32' || sizeOf(x.shape) === 0) return undefined
  const axes = util.parseAxisParam(attrs['axis'] as number | number[], x.shape).toSorted((a, b) => a - b)
  if (axes.some((axis, i) => axis !== i)) return undefined
  const kept = x.shape.slice(axes.length)
  const { info, values } = backend.output(attrs['keepDims'] ? [...axes.map(() => 1), ...kept] : kept)
  loadAddon().channelSum(sizeOf(x.shape.slice(0, axes.length)), sizeOf(kept), floats(backend, x), values)
  return info
}

const softmax: PartialKernel = ({ inputs, backend, attrs }) => {
  const logits = inputs['logits']!
  const classes = logits.shape.at(-1) ?? 1
  const last = [-1, logits.shape.length - 1].includes(attrs['dim'] as number)
  if (logits.dtype !== 'float32' || !last || sizeOf(logits.shape) === 0) return undefined
  const { info, values } = backend.output(logits.shape)
  loadAddon().softmax(values.length / classes, classes, floats(backend, logits), values)
  return info
}

const addN: PartialKernel = ({ inputs, backend }) => {
  const terms = Object.values(inputs)
  const [first, second] = terms
  if (
    !first ||
    !second ||
    terms.some(({ dtype, shape }) => dtype !== 'float32' || !same(shape, first.shape)) ||
    sizeOf(first.shape) === 0
  )
    return undefined
  const { info, values } = backend.output(first.shape)
  let total = floats(backend, first)
  for (const term of terms.slice(1)) {
    loadAddon().elementwise(elementwiseOps.add, values.length, values.length, total, floats(backend, term), values)
    total = values
  }
  return info
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return (
    backend_util.getBroadcastDims([...a], [...b]).length === 0 && a.length === b.length && a.every((n, i) => n === b[i])
  )
}

/** By tfjs' names. */
export const partialKernels: Readonly<Record<string, PartialKernel>> = {
  Add: binary(elementwiseOps.add, true),
  Sub: binary(elementwiseOps.subtract, false),
  Multiply: binary(elementwiseOps.multiply, true),
  RealDiv: binary(elementwiseOps.divide, false),
  AddN: addN,
  Sum: sum,
  Softmax: softmax,
  Relu: ({ inputs, backend }) => {
    const x = inputs['x']!
    if (x.dtype !== 'float32' || sizeOf(x.shape) === 0) return undefined
    const { info, values } = backend.output(x.shape)
    loadAddon().elementwise(elementwiseOps.relu, values.length, 1, floats(backend, x), null, values)
    return info
  },
  Fill: ({ backend, attrs }) =>
    (attrs['dtype'] === undefined || attrs['dtype'] === 'float32') && typeof attrs['value'] === 'number'
      ? fill(backend, attrs['shape'] as number[], attrs['value'])
      : undefined,
  ZerosLike: ({ inputs, backend }) =>
    inputs['x']!.dtype === 'float32' ? fill(backend, inputs['x']!.shape, 0) : undefined,
  OnesLike: ({ inputs, backend }) =>
    inputs['x']!.dtype === 'float32' ? fill(backend, inputs['x']!.shape, 1) : undefined,
}
