/** The backends that a test of tensors can run on here. Loads TensorFlow.js. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { startBackend } from '../../engine/backend.ts'
import { engineOptions } from './options.ts'
import { projectRoot } from './shared.ts'

export type TestedBackend = 'cpu' | 'native' | 'tensorflow'

/**
 * What runs on every backend runs on these. TensorFlow's package is the user's to add, so it is tested where a variable says
 * where it lies, as `npm run check:tensorflow` does, and is no skipped test elsewhere.
 */
export const testedBackends: readonly TestedBackend[] = [
  'cpu',
  'native',
  ...(process.env['CTFLOW_TFJS_NODE'] ? (['tensorflow'] as const) : []),
]

/** Why a backend cannot be tested here; `false` where it can. The word is tap's. */
export function skipped(backend: TestedBackend): string | false {
  if (backend !== 'native' || existsSync(join(projectRoot, 'build', 'ctflow.node'))) return false
  return 'the addon is not built'
}

/** Runs `work` with the backend current. */
export async function withBackend(backend: TestedBackend, work: () => void | Promise<void>): Promise<void> {
  await startBackend(engineOptions({ backend }))
  await work()
  await tf.setBackend('cpu')
}
