/** Options for tests of the engine. Loads no TensorFlow.js. */

import type { EngineOptions } from '../../engine/options.ts'
import { defaultAdam } from '../../model/adam.ts'
import { publishedLoss } from '../../model/loss.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'

export { defaultAdam, publishedLoss }

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
