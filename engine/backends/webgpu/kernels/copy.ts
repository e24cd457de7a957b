/**
 * TensorFlow.js' kernels that move elements as they are: each is one kernel here, for any number of axes and for all types of four
 * bytes. Its own are wrong, or do not compile, for some numbers of axes and for int32.
 */

import { slice_util, type TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'
import type { Program } from '../program.ts'
import { isMovable } from './dtypes.ts'
import { elementGroups, elementMain } from './entry.ts'
import { filled } from './fill.ts'
import { sizeOf, type Call } from './kernel.ts'
import type { PartialKernel } from './partial.ts'
import { denseStrides, planStrided, type StridedPlan, type View } from './strided.ts'

/** Copies a box of `from` to a place in `to`. */
export function copyBox(
  backend: GpuBackend,
  shape: readonly number[],
  from: TensorInfo,
  fromView: View,
  to: TensorInfo,
  toView: View,
): void {
  const plan = planStrided(shape, [fromView, toView])
  backend.run(`Copy ${plan.key}`, () => copying(plan), {
    buffers: { x: from, y: to },
    uniforms: plan.values,
    workgroups: elementGroups(plan.size),
  })
}

function words(inVectors: boolean): string {
  return inVectors ? 'array<vec4u>' : 'array<u32>'
}

function copying({ width, vectors, uniforms, places }: StridedPlan): Program {
  return {
    name: 'Copy',
    bindings: [
      { name: 'x', type: words(vectors[0]!), access: 'read' },
      { name: 'y', type: words(vectors[1]!), access: 'read_write' },
    ],
    uniforms,
    code: elementMain(`${places}
  y[at1] = ${width === 4 && !vectors[0] ? 'vec4u(x[at0])' : 'x[at0]'};`),
  }
}

function dense(shape: readonly number[]): View {
  return { offset: 0, strides: denseStrides(shape) }
}

/** A view of a tensor with its axes in another order. */
export function transposed(backend: GpuBackend, x: TensorInfo, order: readonly number[]): TensorInfo {
  const strides = denseStrides(x.shape)
  const shape = order.map(axis => x.shape[axis]!)
  const y = backend.output(shape, x.dtype as 'float32')
  copyBox(backend, shape, x, { offset: 0, strides: order.map(axis => strides[axis]!) }, y, dense(shape))
  return y
}

export const transpose: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  return serves([x]) ? transposed(backend, x, attrs['perm'] as number[]) : undefined
}

function boxOf(backend: GpuBackend, x: TensorInfo, begin: readonly number[], size: readonly number[]): TensorInfo {
  const strides = denseStrides(x.shape)
  const y = backend.output(size, x.dtype as 'float32')
  const offset = begin.reduce((sum, at, axis) => sum + at * strides[axis]!, 0)
  copyBox(backend, size, x, { offset, strides }, y, dense(size))
  return y
}

export const slice: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  const [begin, size] = slice_util.parseSliceParams(
    x as never,
    attrs['begin'] as number | number[],
    attrs['size'] as number | number[],
  )
  slice_util.assertParamsValid(x as never, begin, size)
  return serves([x]) && sizeOf(size) > 0 ? boxOf(backend, x, begin, size) : undefined
}

export const tile: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  const reps = attrs['reps'] as number[]
  if (!serves([x]) || reps.length !== x.shape.length || sizeOf(reps) === 0) return undefined
  // Each axis is one of repetitions and one of elements.
  const strides = denseStrides(x.shape)
  const y = backend.output(
    x.shape.map((extent, axis) => extent * reps[axis]!),
    x.dtype as 'float32',
  )
  const shape = x.shape.flatMap((extent, axis) => [reps[axis]!, extent])
  const view = { offset: 0, strides: strides.flatMap(stride => [0, stride]) }
  copyBox(backend, shape, x, view, y, dense(shape))
  return y
}

export const pad: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  const paddings = attrs['paddings'] as [number, number][]
  const value = attrs['constantValue']
  if (!serves([x]) || typeof value !== 'number') return undefined
  const shape = x.shape.map((extent, axis) => extent + paddings[axis]![0] + paddings[axis]![1])
  const y = filled(backend, shape, value, x.dtype as 'float32')
  const strides = denseStrides(shape)
  const offset = paddings.reduce((sum, [before], axis) => sum + before * strides[axis]!, 0)
  copyBox(backend, x.shape, x, dense(x.shape), y, { offset, strides })
  return y
}

export const concat: PartialKernel = ({ inputs, backend, attrs }) => {
  const all = Object.values(inputs)
  const parts = all.filter(({ shape }) => sizeOf(shape) > 0)
  if (!serves(parts) || !sameTypes(all)) return undefined
  const { shape } = parts[0]!
  const axis = parsed(attrs['axis'], shape.length)
  const outer = parts.map(part => part.shape.with(axis, 1).join())
  if (outer.some(other => other !== outer[0])) return undefined // upstream says what is wrong
  return joined(
    backend,
    parts,
    parts.map(part => part.shape),
    axis,
  )
}

export const pack: PartialKernel = ({ inputs, backend, attrs }) => {
  const parts = Object.values(inputs)
  if (!serves(parts) || !sameTypes(parts)) return undefined
  const { shape } = parts[0]!
  if (parts.some(part => part.shape.join() !== shape.join())) return undefined
  const axis = parsed(attrs['axis'], shape.length + 1)
  return joined(
    backend,
    parts,
    parts.map(part => part.shape.toSpliced(axis, 0, 1)),
    axis,
  )
}

/** Parts one after the other along an axis; `shapes` are theirs as they are seen there. */
function joined(
  backend: GpuBackend,
  parts: readonly TensorInfo[],
  shapes: readonly (readonly number[])[],
  axis: number,
): TensorInfo {
  const extent = shapes.reduce((sum, shape) => sum + shape[axis]!, 0)
  const whole = shapes[0]!.with(axis, extent)
  const y = backend.output(whole, parts[0]!.dtype as 'float32')
  const strides = denseStrides(whole)
  let at = 0
  parts.forEach((part, k) => {
    copyBox(backend, shapes[k]!, part, dense(shapes[k]!), y, { offset: at * strides[axis]!, strides })
    at += shapes[k]![axis]!
  })
  return y
}

export const unpack: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['value']!
  if (!serves([x])) return undefined
  const axis = parsed(attrs['axis'], x.shape.length)
  const shape = x.shape.toSpliced(axis, 1)
  return Array.from({ length: x.shape[axis]! }, (_, k) => {
    const box = boxOf(backend, x, x.shape.map((_, other) => (other === axis ? k : 0)), x.shape.with(axis, 1)) // prettier-ignore
    return { ...box, shape }
  })
}

function parsed(axis: unknown, rank: number): number {
  return (axis as number) < 0 ? (axis as number) + rank : (axis as number)
}

function serves(tensors: readonly TensorInfo[]): boolean {
  return tensors.length > 0 && tensors.every(tensor => isMovable(tensor) && sizeOf(tensor.shape) > 0)
}

function sameTypes(tensors: Call['inputs'][string][]): boolean {
  return tensors.every(({ dtype }) => dtype === tensors[0]!.dtype)
}
