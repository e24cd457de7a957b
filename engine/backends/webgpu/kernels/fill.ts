/** Tensors of one value. */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'
import type { Program } from '../program.ts'
import { isMovable } from './dtypes.ts'
import { elementGroups, elementMain } from './entry.ts'
import { sizeOf } from './kernel.ts'
import type { PartialKernel } from './partial.ts'

/** `shape` without zeros. */
export function filled(
  backend: GpuBackend,
  shape: readonly number[],
  value: number,
  dtype: 'float32' | 'int32',
): TensorInfo {
  const y = backend.output(shape, dtype)
  const elements = sizeOf(shape)
  const width = elements % 4 === 0 ? 4 : 1
  const type = dtype === 'int32' ? 'i32' : 'f32'
  backend.run(`Fill ${type} ${width}`, () => filling(type, width), {
    buffers: { y },
    // As a typed array would hold it.
    uniforms: { size: elements / width, value: type === 'i32' ? value | 0 : value },
    workgroups: elementGroups(elements / width),
  })
  return y
}

function filling(type: 'f32' | 'i32', width: 1 | 4): Program {
  const unit = width === 4 ? `vec4<${type}>` : type
  return {
    name: 'Fill',
    bindings: [{ name: 'y', type: `array<${unit}>`, access: 'read_write' }],
    uniforms: { size: 'u32', value: type },
    code: elementMain(`  y[i] = ${unit}(u.value);`),
  }
}

export const fill: PartialKernel = ({ backend, attrs }) => {
  const [shape, value] = [attrs['shape'] as number[], attrs['value']]
  const dtype = (attrs['dtype'] as string | undefined) ?? 'float32'
  const serves = typeof value === 'number' && (dtype === 'float32' || dtype === 'int32') && sizeOf(shape) > 0
  return serves ? filled(backend, shape, value, dtype) : undefined
}

function like(value: number): PartialKernel {
  return ({ inputs, backend }) => {
    const x = inputs['x']!
    const serves = isMovable(x) && sizeOf(x.shape) > 0
    return serves ? filled(backend, x.shape, value, x.dtype as 'float32') : undefined
  }
}

export const zerosLike = like(0)
export const onesLike = like(1)
