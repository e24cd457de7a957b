/** What a run takes of its memory before any case: the network at work, patches and batches on their way. */

import type { Definition } from './definition.ts'
import { engineWorkOf, standingOf } from './plan.ts'
import type { Engine, EngineWork } from './engine.ts'

/** As `Ledger.reserve` wants it. */
export interface Reserve {
  readonly what: string
  readonly bytes: number
  readonly cure: string
}

/** In the order in which they are to be reserved. */
export async function reservesOf(
  definition: Pick<Definition, 'task' | 'stages'>,
  engine: Engine | undefined,
  work: EngineWork = engineWorkOf(definition),
): Promise<readonly Reserve[]> {
  const reserves: Reserve[] = []
  if (engine) {
    reserves.push({
      what: 'the network',
      bytes: (await engine.need(work)).bytes,
      cure: 'raise "memory", or take smaller patches and windows or fewer "initFilters"',
    })
  }
  const { bytes } = standingOf(definition.stages)
  if (bytes > 0)
    reserves.push({ what: 'patches and batches', bytes, cure: 'raise "memory", or take smaller patches or batches' })
  return reserves
}
