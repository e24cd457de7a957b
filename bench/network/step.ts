/** One training step of the published network and of one twice as wide; at batch 8 for the sake of memory. */

import { resolveThreads } from '../../engine/threads.ts'
import type { Bench } from '../trial.ts'
import { networkTrial } from './network-trial.ts'
import { publishedPatch, type Work } from './work.ts'

const base: Work = {
  task: 'train-step',
  initFilters: 8,
  shape: publishedPatch,
  batch: 1,
  precision: 'float32',
  threads: resolveThreads('auto'),
}

export const bench: Bench = {
  trials: (['float32', 'bfloat16'] as const).flatMap(precision => [
    networkTrial({ ...base, precision }, 9),
    networkTrial({ ...base, precision, batch: 8 }, 2),
    networkTrial({ ...base, precision, initFilters: 16 }, 5),
  ]),
}
