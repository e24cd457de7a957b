/** The forward pass of one window, in an engine without loss and optimiser, as inference opens it. */

import { resolveThreads } from '../../engine/threads.ts'
import type { Bench } from '../trial.ts'
import { networkTrial } from './network-trial.ts'
import { publishedPatch } from './work.ts'

export const bench: Bench = {
  trials: (['float32', 'bfloat16'] as const).flatMap(precision =>
    [8, 16].map(initFilters =>
      networkTrial(
        {
          task: 'window',
          initFilters,
          shape: publishedPatch,
          batch: 1,
          precision,
          threads: resolveThreads('auto'),
        },
        9,
      ),
    ),
  ),
}
