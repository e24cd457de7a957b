/** What the GPU's kernels share: the call, checks, and the scalar helpers of WGSL. */

import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs'
import { PipelineError } from '../../../../pipeline/errors.ts'
import type { GpuBackend } from '../backend.ts'

/** Of the products of convolutions. */
export type GpuPrecision = 'float32' | 'float16' | 'float16-matrix'

export interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo>>
  readonly backend: GpuBackend
  readonly attrs: Readonly<Record<string, unknown>>
}

/** A kernel of the webgpu backend. */
export function kernel(kernelName: string, work: (call: Call) => TensorInfo | TensorInfo[]): KernelConfig {
  const kernelFunc = ((call: Call) => call.backend.undoing(() => work(call))) as unknown as KernelFunc
  return { kernelName, backendName: 'webgpu', kernelFunc }
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
