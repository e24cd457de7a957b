/** Element-wise kernels of TensorFlow.js, with broadcasting over any number of axes. */

import { backend_util, type TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'
import type { Program } from '../program.ts'
import { written, elementGroups, elementMain } from './entry.ts'
import { sizeOf } from './kernel.ts'
import type { PartialKernel } from './partial.ts'
import { denseStrides, planStrided, type StridedPlan } from './strided.ts'

/** float32, and int32 where the result is int32 too. */
function binary(operator: '+' | '-' | '*' | '/'): PartialKernel {
  return ({ inputs, backend }) => {
    const [a, b] = [inputs['a']!, inputs['b']!]
    const { dtype } = a
    const hasType = dtype === 'float32' || (dtype === 'int32' && operator !== '/')
    if (!hasType || b.dtype !== dtype || sizeOf(a.shape) === 0 || sizeOf(b.shape) === 0) return undefined
    const shape = backend_util.assertAndGetBroadcastShape(a.shape, b.shape)
    const strides = [repeatedStrides(a, shape), repeatedStrides(b, shape), denseStrides(shape)]
    const plan = planStrided(
      shape,
      strides.map(own => ({ offset: 0, strides: own })),
    )
    const y = backend.output(shape, dtype)
    const type = dtype === 'int32' ? 'i32' : 'f32'
    backend.run(`Binary ${operator} ${type} ${plan.key}`, () => binaryProgram(operator, type, plan), {
      buffers: { a, b, y },
      uniforms: plan.values,
      workgroups: elementGroups(plan.size),
    })
    return y
  }
}

/** Of a tensor in the shape that it is broadcast to: 0 along the axes on which it repeats. */
function repeatedStrides({ shape }: TensorInfo, to: readonly number[]): number[] {
  const strides = denseStrides(shape)
  const missing = to.length - shape.length
  return to.map((_, axis) => (axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]!))
}

function binaryProgram(
  operator: string,
  type: 'f32' | 'i32',
  { width, vectors, uniforms, places }: StridedPlan,
): Program {
  const unit = (v: number): string => (vectors[v] ? `vec4<${type}>` : type)
  const operand = (name: string, v: number): string =>
    width === 4 && !vectors[v] ? `vec4<${type}>(${name}[at${v}])` : `${name}[at${v}]`
  return {
    name: `Binary ${operator}`,
    bindings: [
      { name: 'a', type: `array<${unit(0)}>`, access: 'read' },
      { name: 'b', type: `array<${unit(1)}>`, access: 'read' },
      { name: 'y', type: `array<${unit(2)}>`, access: 'read_write' },
    ],
    uniforms,
    code: elementMain(`${places}
  y[at2] = ${operand('a', 0)} ${operator} ${operand('b', 1)};`),
  }
}

/** Devices bind eight buffers: seven terms and their sum. */
const mostTerms = 7

const addN: PartialKernel = ({ inputs, backend }) => {
  const terms = Object.values(inputs)
  const first = terms[0]
  const serves = terms.every(({ dtype, shape }) => dtype === 'float32' && shape.join() === first!.shape.join())
  if (!first || terms.length < 2 || !serves || sizeOf(first.shape) === 0) return undefined
  let total = added(backend, terms.slice(0, mostTerms))
  for (let at = mostTerms; at < terms.length; at += mostTerms - 1) {
    const before = total
    total = added(backend, [before, ...terms.slice(at, at + mostTerms - 1)])
    backend.disposeData(before.dataId)
  }
  return total
}

/** In order. */
function added(backend: GpuBackend, terms: readonly TensorInfo[]): TensorInfo {
  const { shape } = terms[0]!
  const y = backend.output(shape)
  const width = sizeOf(shape) % 4 === 0 ? 4 : 1
  const size = sizeOf(shape) / width
  backend.run(`AddN ${terms.length} ${width}`, () => addingAll(terms.length, width), {
    buffers: { ...Object.fromEntries(terms.map((term, k) => [`x${k}`, term])), y },
    uniforms: { size },
    workgroups: elementGroups(size),
  })
  return y
}

function addingAll(count: number, width: 1 | 4): Program {
  const type = width === 4 ? 'array<vec4f>' : 'array<f32>'
  return {
    name: 'AddN',
    bindings: [
      ...Array.from({ length: count }, (_, k) => ({ name: `x${k}`, type, access: 'read' }) as const),
      { name: 'y', type, access: 'read_write' },
    ],
    uniforms: { size: 'u32' },
    code: elementMain(`  y[i] = ${written(count, k => `x${k}[i]`, ' + ')};`),
  }
}

const relu: PartialKernel = ({ inputs, backend }) => {
  const x = inputs['x']!
  if (x.dtype !== 'float32' || sizeOf(x.shape) === 0) return undefined
  const y = backend.output(x.shape)
  const width = sizeOf(x.shape) % 4 === 0 ? 4 : 1
  const size = sizeOf(x.shape) / width
  backend.run(`Relu ${width}`, () => reluProgram(width), {
    buffers: { x, y },
    uniforms: { size },
    workgroups: elementGroups(size),
  })
  return y
}

function reluProgram(width: 1 | 4): Program {
  const type = width === 4 ? 'vec4f' : 'f32'
  return {
    name: 'Relu',
    bindings: [
      { name: 'x', type: `array<${type}>`, access: 'read' },
      { name: 'y', type: `array<${type}>`, access: 'read_write' },
    ],
    uniforms: { size: 'u32' },
    code: elementMain(`  y[i] = select(x[i], ${type}(0.0), x[i] < ${type}(0.0));`), // NaN stays NaN
  }
}

/** By TensorFlow.js' names. */
export const elementwise: Readonly<Record<string, PartialKernel>> = {
  Add: binary('+'),
  Sub: binary('-'),
  Multiply: binary('*'),
  RealDiv: binary('/'),
  AddN: addN,
  Relu: relu,
}
