/** Starting a backend of TensorFlow.js by its name in the definition. Runs in the engine's thread. */

import { cpus } from 'node:os'
import * as tf from '@tensorflow/tfjs'
import type { Tensor } from '@tensorflow/tfjs'
import { PipelineError, messageOf } from '../pipeline/errors.ts'
import type { GpuInfo } from '../pipeline/engine.ts'
import { chooseBackend } from './choice.ts'
import type { EngineOptions } from './options.ts'
import { resolveThreads } from './threads.ts'

export interface StartedBackend {
  readonly name: 'native' | 'cpu' | 'webgpu' | 'tensorflow'
  readonly device: string
  readonly reason: string
  readonly threads: number
  /**
   * A tensor's values, once they are computed: in `to`, where it is given, else perhaps as they lie in memory, only until the
   * tensor is disposed and not to be written to. Rejects with whatever went wrong since the last read.
   */
  readonly read: (tensor: Tensor, to?: Float32Array) => Promise<Float32Array>
  /** Of the `webgpu` backend. */
  readonly gpu?: GpuInfo
  /** Gives back what no tensor is: a GPU's device. */
  readonly close?: () => void
  /** Of a GPU: whether it gives so many bytes now. */
  readonly canHold?: (bytes: number) => Promise<boolean>
  /** Whether tensors lie in a GPU's memory: then `peakBytes` and `rehearse` tell of that. */
  readonly onDevice: boolean
  readonly fallbacks: () => Readonly<Record<string, number>>
  /** The most bytes in tensors, kept for the next ones and worked in by kernels so far; absent where that is not known. */
  readonly peakBytes?: () => number
  /**
   * Runs `work` with kernels that compute nothing and tensors on memory that is never touched, and gives its `peakBytes`, which
   * `work` may ask for too. Tensors that were there before are not changed. Absent where kernels always compute.
   */
  readonly rehearse?: (work: (peakBytes: () => number) => void) => number
}

export type BackendOptions = Pick<EngineOptions, 'backend' | 'threads' | 'precision' | 'adapter' | 'gpuMemory'>

/** Makes the backend current. ERR_ENGINE where it is not there; nothing else is taken in its place. */
export async function startBackend({
  backend,
  threads: requested,
  precision,
  ...device
}: BackendOptions): Promise<StartedBackend> {
  // TensorFlow.js advertises its Node packages on the first tensor, except in production.
  tf.enableProdMode()
  const threads = resolveThreads(requested)
  switch (backend) {
    case 'auto':
      return startChosen({ threads, precision, ...device })
    case 'native':
      return startNative(threads, precision, 'asked for')
    case 'cpu':
      if (precision !== 'float32') {
        throw new PipelineError(
          'ERR_DEFINITION',
          `/engine/precision: the cpu backend computes in float32 only, found "${precision}"; use "backend": "native"`,
          { backend, precision },
        )
      }
      await tf.setBackend('cpu')
      return {
        name: 'cpu',
        device: `${processor()}, JavaScript`,
        reason: 'asked for; for tests only, native is much faster',
        threads: 1,
        read: (tensor, to) => copied(tensor.dataSync<'float32'>(), to),
        onDevice: false,
        fallbacks: () => ({}),
      }
    case 'webgpu': {
      const { startWebgpu } = await import('./backends/webgpu/start.ts')
      return startWebgpu({ precision, ...device }, 'asked for')
    }
    case 'tensorflow':
      return (await import('./backends/tensorflow.ts')).startTensorflow(precision, threads)
  }
}

/** What `auto` takes. A GPU that does not open is passed over where native does as well. */
async function startChosen({
  threads,
  precision,
  adapter,
  gpuMemory,
}: Omit<BackendOptions, 'backend' | 'threads'> & { readonly threads: number }): Promise<StartedBackend> {
  const { surveyAdapters } = await import('./backends/webgpu/survey.ts')
  const choice = await chooseBackend({ precision, ...(adapter !== undefined && { adapter }) }, surveyAdapters)
  if (choice.backend === 'native') return startNative(threads, precision, choice.reason)
  try {
    const { startWebgpu } = await import('./backends/webgpu/start.ts')
    const device = { adapter: choice.adapter, ...(gpuMemory !== undefined && { gpuMemory }) }
    return await startWebgpu({ precision, ...device }, choice.reason)
  } catch (error) {
    if (!choice.isOptional) throw error
    return startNative(threads, precision, `auto: "${choice.adapter}" does not open: ${messageOf(error)}`)
  }
}

function copied(values: Float32Array, to: Float32Array | undefined): Promise<Float32Array> {
  to?.set(values)
  return Promise.resolve(to ?? values)
}

async function startNative(
  threads: number,
  precision: EngineOptions['precision'],
  reason: string,
): Promise<StartedBackend> {
  if (precision === 'float16' || precision === 'float16-matrix')
    throw new PipelineError(
      'ERR_DEFINITION',
      `/engine/precision: "${precision}" is computed by GPUs only, found it for the native backend; use "bfloat16" or "float32"`,
      { backend: 'native', precision },
    )
  const { registerNativeBackend, nativeBackendReport, peakBytes, rehearse, valuesOf } =
    await import('./backends/native.ts')
  try {
    await registerNativeBackend({ threads, precision })
    await tf.setBackend('native')
  } catch (cause) {
    if (cause instanceof PipelineError) throw cause
    throw new PipelineError(
      'ERR_ENGINE',
      `/engine/backend: the native backend does not start: ${messageOf(cause)}; build it with "npm run build"`,
      { backend: 'native' },
      { cause },
    )
  }
  const { isa } = nativeBackendReport()
  return {
    name: 'native',
    device: `${processor()}, ${isa}${precision === 'bfloat16' ? ' with bfloat16' : ''}`,
    reason,
    threads,
    read: (tensor, to) => copied(valuesOf(tensor), to),
    onDevice: false,
    fallbacks: () => nativeBackendReport().fallbacks,
    peakBytes,
    rehearse,
  }
}

function processor(): string {
  return cpus()[0]?.model.trim() ?? process.arch
}
