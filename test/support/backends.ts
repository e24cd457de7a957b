/** The backends that a test of tensors can run on here. Loads TensorFlow.js. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { startBackend } from '../../engine/backend.ts'
import { engineOptions } from './options.ts'
import { projectRoot } from './shared.ts'

export type TestedBackend = 'cpu' | 'native'

/** Why a backend cannot be tested here; `false` where it can. The word is tap's. */
export function skipped(backend: TestedBackend): string | false {
  if (backend === 'cpu' || existsSync(join(projectRoot, 'build', 'ctflow.node'))) return false
  return 'the addon is not built'
}

/** Runs `work` with the backend current. */
export async function withBackend(backend: TestedBackend, work: () => void | Promise<void>): Promise<void> {
  await startBackend(engineOptions({ backend }))
  await work()
  await tf.setBackend('cpu')
}
