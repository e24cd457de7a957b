/** Kernels of TensorFlow.js that ours serve where they can; each use of one of its own is counted. */

import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'
import type { Call } from './kernel.ts'

/** A kernel that serves only some calls: undefined means that TensorFlow.js' own must. */
export type PartialKernel = (call: Call) => TensorInfo | TensorInfo[] | undefined

/** Kernels that move no number: another shape for the same values. */
const metadataKernels: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'ExpandDims'])

/** TensorFlow.js' kernel, counted, or ours where it serves the call. */
export function adopted(config: KernelConfig, own: PartialKernel | undefined): KernelConfig {
  const name = config.kernelName
  if (metadataKernels.has(name)) return config
  const kernelFunc: KernelFunc = call => {
    const served = own?.(call as unknown as Call)
    if (served) return served
    ;(call.backend as GpuBackend).countFallback(name)
    return config.kernelFunc(call)
  }
  return { ...config, kernelFunc }
}
