/** What single kernels are measured on: a backend in this process, how to wait for it, and its limits. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor } from '@tensorflow/tfjs'
import { startBackend } from '../../engine/backend.ts'
import type { GpuBackend } from '../../engine/backends/webgpu/backend.ts'
import type { GpuPrecision } from '../../engine/backends/webgpu/kernels/kernel.ts'
import { precisionsOf } from '../../engine/backends/webgpu/precisions.ts'
import { loadAddon } from '../../native/addon.ts'
import type { GpuOptions } from './options.ts'
import { copyRate, multiplyAddRate } from './probes.ts'

export type Peak = 'multiply-add' | 'copy'

export interface MeasuredDevice {
  readonly backend: string
  /** Its name and driver, and what of WGSL's features it has. */
  readonly description: string
  readonly features: readonly string[]
  readonly precisions: readonly GpuPrecision[]
  /** Whether it is a GPU's hardware: what PyTorch has to run on to be compared. */
  readonly isGpu: boolean
  /** A tensor's values, once all that was asked for is done. */
  read(tensor: Tensor): Promise<Float32Array>
  /** TFLOP/s in float32, or GB/s read and written, measured now; undefined where there is no probe for the backend. */
  peak?(kind: Peak, seconds: number): Promise<number>
  close(): void
}

/** Makes the backend current. ERR_ENGINE with the cure where it is not there. */
export async function openMeasured({ backend, adapter }: GpuOptions): Promise<MeasuredDevice> {
  const started = await startBackend({
    backend,
    threads: 'auto',
    precision: 'float32',
    ...(adapter !== undefined && { adapter }),
  })
  const { name, device, read, close } = started
  const common = { backend: name, read: (tensor: Tensor) => read(tensor), close: () => close?.() }
  if (name === 'webgpu') {
    const { surveyAdapters } = await import('../../engine/backends/webgpu/survey.ts')
    const taken = (await surveyAdapters()).adapters.find(each => device.startsWith(each.name))
    if (!taken) throw new Error(`expected the adapter of ${device} among those that are there`)
    const { features, driver, software } = taken
    const gpu = tf.backend() as unknown as GpuBackend
    return {
      ...common,
      description: `${taken.name}, ${driver}${software ? ' (software)' : ''}, features ${features.join(', ') || 'none'}`,
      features,
      precisions: precisionsOf(taken),
      isGpu: !software,
      peak: (kind, seconds) => (kind === 'copy' ? copyRate(gpu, seconds) : multiplyAddRate(gpu, seconds)),
    }
  }
  const addon = name === 'native' ? loadAddon() : undefined
  return {
    ...common,
    description: device,
    features: [],
    precisions: ['float32'],
    isGpu: started.onDevice,
    ...(addon && {
      peak: async (kind: Peak, seconds: number) =>
        kind === 'copy' ? addon.peak('copy', seconds)!.rate : addon.peak('float32', seconds)!.rate / 1000,
    }),
  }
}

/** Seconds of one call, of so many between two waits that they take at least `seconds`; after one that is not counted. */
export async function secondsOf(
  work: () => void,
  settled: () => Promise<unknown>,
  seconds: number,
  now: () => number = () => performance.now(),
): Promise<number> {
  work()
  await settled()
  for (let times = 1; ;) {
    const started = now()
    for (let i = 0; i < times; i++) work()
    await settled()
    const taken = (now() - started) / 1000
    if (taken >= seconds) return taken / times
    // What it takes to wait must not decide how often.
    times = Math.ceil(times * Math.min(8, Math.max(2, (1.2 * seconds) / taken)))
  }
}
