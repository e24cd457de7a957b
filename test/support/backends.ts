/** The backends that a test of tensors can run on here. Loads TensorFlow.js. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { startBackend } from '../../engine/backend.ts'
import { lacksForDawn } from '../../engine/backends/webgpu/adapters.ts'
import { engineOptions } from './options.ts'
import { projectRoot } from './shared.ts'

export type TestedBackend = 'cpu' | 'native' | 'webgpu' | 'tensorflow'

/**
 * What runs on any backend runs on these. TensorFlow's package is the user's to add, so it is tested where a variable says where
 * it lies, as `npm run check:tensorflow` does, and is no skipped test elsewhere.
 */
export const testedBackends: readonly TestedBackend[] = [
  'cpu',
  'native',
  ...(process.env['CTFLOW_TFJS_NODE'] ? (['tensorflow'] as const) : []),
]

/** SwiftShader, the processor as a GPU: comes with Debian's chromium-common. */
const softwareDriver = '/usr/lib/chromium/vk_swiftshader_icd.json'

/** Part of its adapter's name. */
export const softwareAdapter = 'SwiftShader'

/** Why a backend cannot be tested here; `false` where it can. The word is tap's. */
export function skipped(backend: TestedBackend): string | false {
  if (backend === 'webgpu') return gpuSkipped()
  if (backend !== 'native' || existsSync(join(projectRoot, 'build', 'ctflow.node'))) return false
  return 'the addon is not built'
}

/** Makes the Vulkan loader find SwiftShader, for this process and its threads, before Dawn first asks. */
function gpuSkipped(): string | false {
  if (!existsSync(softwareDriver)) return 'SwiftShader is not installed (Debian: chromium-common)'
  process.env['VK_DRIVER_FILES'] = softwareDriver
  return lacksForDawn() ?? false
}

let gpuStarted: Promise<unknown> | undefined

/** Runs `work` with the backend current. */
export async function withBackend(backend: TestedBackend, work: () => void | Promise<void>): Promise<void> {
  if (backend === 'webgpu') {
    // One device for all tests of a file: its kernels are compiled once.
    gpuStarted ??= startBackend(engineOptions({ backend, adapter: softwareAdapter }))
    await gpuStarted
    await tf.setBackend('webgpu')
  } else await startBackend(engineOptions({ backend }))
  await work()
  await tf.setBackend('cpu')
}
