/** One training step of the published network and of one twice as wide; at batch 8 for the sake of memory. */

import type { Bench } from '../trial.ts'
import { networkTrial } from './network-trial.ts'
import { publishedStep } from './work.ts'

export const bench: Bench = {
  trials: (['float32', 'bfloat16'] as const).flatMap(precision => [
    networkTrial({ ...publishedStep, precision }, 9),
    networkTrial({ ...publishedStep, precision, batch: 8 }, 2),
    networkTrial({ ...publishedStep, precision, initFilters: 16 }, 5),
  ]),
}
