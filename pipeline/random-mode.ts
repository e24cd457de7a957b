/** What a definition's `random` means: where random stages get their numbers, and in which order the cases pass. */

import { NumpyRandom } from './numpy-random.ts'
import { shuffled } from './random.ts'
import type { Random } from './stage.ts'

/**
 * The randomness of one run, for its `Context`. For `numpy` it is a MONAI Compose after `set_random_state(seed)`: a generator
 * that gives each of its random transforms a seed, one after the other.
 */
export function randomOf(mode: Random['mode'], seed: number): Random {
  if (mode === 'counter') return { mode }
  const compose = new NumpyRandom(seed)
  const transforms: string[] = []
  return {
    mode,
    transforms,
    seedFor(transform) {
      transforms.push(transform)
      return compose.integer(2 ** 32)
    },
  }
}

/**
 * The order of n cases in one epoch. MONAI's own shuffling comes from torch's generator; where its draws are replayed the
 * cases therefore pass as they are listed, in every epoch.
 */
export function caseOrder(mode: Random['mode'], n: number, seed: number, epoch: number): number[] {
  return mode === 'numpy' ? Array.from({ length: n }, (_, i) => i) : shuffled(n, seed, epoch)
}
