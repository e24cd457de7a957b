/** Options for tests of the engine. Loads no TensorFlow.js. */

import type { EngineOptions } from '../../engine/options.ts'
import { defaultAdam } from '../../model/adam.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'

/** MONAI's defaults with squared probabilities, as the published model was trained. */
export const publishedLoss = {
  kind: 'dice-ce',
  squaredPred: true,
  includeBackground: true,
  jaccard: false,
  batch: false,
  smoothNr: 1e-5,
  smoothDr: 1e-5,
  lambdaDice: 1,
  lambdaCe: 1,
} as const

export { defaultAdam }

/** A small network on two threads; give what the test is about. */
export function engineOptions(
  options: Partial<EngineOptions>,
): EngineOptions & Required<Pick<EngineOptions, 'loss' | 'optimizer'>> {
  return {
    backend: 'cpu',
    precision: 'float32',
    threads: 2,
    network: { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] },
    loss: publishedLoss,
    optimizer: defaultAdam,
    seed: 1,
    ...options,
  }
}
