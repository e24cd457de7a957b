/** What the kernels share: a backend that lends memory, and the values of its tensors. */

import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs'
import type { Precision } from '../addon.ts'
import { PipelineError } from '../../pipeline/errors.ts'

/** The backend as a kernel sees it. */
export interface KernelBackend {
  /** Of the products of convolutions. */
  readonly precision: Precision
  readonly data: { get(dataId: object): { values?: unknown } }
  /** A tensor over pooled memory that is not cleared. */
  output(shape: readonly number[]): { readonly info: TensorInfo; readonly values: Float32Array }
  /** An output on an input's memory, for an input that its owner gives up; on memory of its own where others hold it too. */
  overwriting(input: TensorInfo): { readonly info: TensorInfo; readonly values: Float32Array }
  /** Gives back an output that nobody will get. */
  disposeIntermediateTensorInfo(info: TensorInfo): void
}

export interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo>>
  readonly backend: KernelBackend
  readonly attrs: Readonly<Record<string, unknown>>
}

/** A kernel of the native backend. */
export function kernel(kernelName: string, work: (call: Call) => TensorInfo | TensorInfo[]): KernelConfig {
  return { kernelName, backendName: 'native', kernelFunc: work as unknown as KernelFunc }
}

/** A tensor's values, as they lie in memory. */
export function floats(backend: KernelBackend, { dataId, dtype }: TensorInfo): Float32Array {
  if (dtype !== 'float32') throw new Error(`expected a float32 tensor, found ${dtype}`)
  return backend.data.get(dataId).values as Float32Array
}

export function integers(backend: KernelBackend, { dataId, dtype }: TensorInfo): Int32Array {
  if (dtype !== 'int32') throw new Error(`expected an int32 tensor, found ${dtype}`)
  return backend.data.get(dataId).values as Int32Array
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** ERR_ENGINE with the kernel's name unless the condition holds. */
export function check(holds: boolean, kernelName: string, message: string): asserts holds {
  if (!holds) throw new PipelineError('ERR_ENGINE', `${kernelName}: ${message}`, { kernel: kernelName })
}

export function checkShape(kernelName: string, name: string, tensor: TensorInfo, expected: readonly number[]): void {
  const same = tensor.shape.length === expected.length && tensor.shape.every((n, i) => n === expected[i])
  check(same, kernelName, `expected ${name} of shape (${expected.join(', ')}), found (${tensor.shape.join(', ')})`)
}

/** (N, D, H, W, C) without zeros. */
export function checkVolumes(kernelName: string, name: string, { shape }: TensorInfo): void {
  const holds = shape.length === 5 && shape.every(n => n > 0)
  check(holds, kernelName, `expected ${name} of shape (N, D, H, W, C) without zeros, found (${shape.join(', ')})`)
}
