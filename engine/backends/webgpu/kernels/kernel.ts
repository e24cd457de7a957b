/** What the GPU's kernels share: the call, and the checks of native's. */

import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'

export { check, checkShape, checkVolumes, sizeOf } from '../../../../native/kernels/kernel.ts'

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
