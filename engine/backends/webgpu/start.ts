/** Starting the `webgpu` backend in the engine's thread. */

import * as tf from '@tensorflow/tfjs'
import type { KernelConfig } from '@tensorflow/tfjs'
import { PipelineError } from '../../../pipeline/errors.ts'
import type { BackendOptions, StartedBackend } from '../../backend.ts'
import { openDevice } from './adapters.ts'
import type { GpuBackend, GpuBackendOptions } from './backend.ts'
import type { GpuPrecision } from './kernels/kernel.ts'
import { gpuPrecisions } from './precisions.ts'
import { surveyAdapters } from './survey.ts'

/** TensorFlow.js' kernels as they were before ours took their names. */
let upstream: readonly KernelConfig[] | undefined

/**
 * Opens the adapter asked for, or the best that is no software, and makes it TensorFlow.js' backend. ERR_ENGINE with the
 * cure where there is none or it lacks what the precision needs.
 */
export async function startWebgpu(
  { precision, adapter: wanted, gpuMemory }: Omit<BackendOptions, 'backend' | 'threads'>,
  reason: string,
): Promise<StartedBackend> {
  if (!isGpuPrecision(precision))
    throw new PipelineError(
      'ERR_DEFINITION',
      `/engine/precision: the webgpu backend computes in ${gpuPrecisions.map(name => `"${name}"`).join(', ')}, found "${precision}"`,
      { precision },
    )
  // A driver that breaks or hangs does so in a process of its own.
  const { device, adapter } = await openDevice({ adapter: wanted, precision }, await surveyAdapters())
  const matrixUnit = precision === 'float16-matrix' ? adapter.matrixUnit : undefined
  const backend = await useDevice(device, { limit: gpuMemory, precision, matrixUnit })
  return {
    name: 'webgpu',
    device: adapter.name,
    gpu: {
      driver: adapter.driver,
      largestTensorBytes: adapter.largestBinding,
      ...(gpuMemory !== undefined && { memoryBytes: gpuMemory }),
    },
    reason: adapter.software ? `${reason}; it is software, for tests only: native is much faster` : reason,
    threads: 1,
    read: (tensor, to) => backend.readInto(tensor, to),
    fallbacks: () => Object.fromEntries(backend.fallbacks),
    onDevice: true,
    canHold: bytes => backend.gpuMemory.canHold(bytes),
    close: () => backend.close(),
    peakBytes: () => backend.gpuMemory.peakAllocated,
    rehearse: work => backend.rehearse(work),
  }
}

/** Makes an open device TensorFlow.js' backend, with our kernels. */
export async function useDevice(device: GPUDevice, options: GpuBackendOptions = {}): Promise<GpuBackend> {
  // TensorFlow.js looks for it when it is loaded, and for nothing in it but that.
  const { navigator = {} } = globalThis as { navigator?: object }
  if (!('gpu' in navigator)) Object.defineProperty(navigator, 'gpu', { value: {}, configurable: true })
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true })
  const [{ GpuBackend }, { kernelsOver }] = await Promise.all([import('./backend.ts'), import('./kernels/index.ts')])

  // Small tensors too stay on the GPU: what computes must not depend on sizes.
  tf.env().set('WEBGPU_CPU_FORWARD', false)
  tf.removeBackend('webgpu')
  const backend = new GpuBackend(device, options)
  tf.registerBackend('webgpu', () => backend)
  upstream ??= tf.getKernelsForBackend('webgpu')
  for (const config of kernelsOver(upstream)) {
    if (tf.getKernel(config.kernelName, 'webgpu')) tf.unregisterKernel(config.kernelName, 'webgpu')
    tf.registerKernel(config)
  }
  await tf.setBackend('webgpu')
  return backend
}

function isGpuPrecision(precision: string): precision is GpuPrecision {
  return (gpuPrecisions as readonly string[]).includes(precision)
}
