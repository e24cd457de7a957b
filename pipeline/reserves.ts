/** What a run takes of its memory before any case: the network at work, patches and batches on their way. */

import type { Definition } from './definition.ts'
import { engineWorkOf, standingOf, type EngineWork } from './plan.ts'
import type { Engine } from './stage.ts'

/** As `Ledger.reserve` wants it. */
export interface Reserve {
  readonly what: string
  readonly bytes: number
  readonly cure: string
}

/** An engine that can tell what work will take. */
export interface ForesightedEngine extends Engine {
  need(work: EngineWork): number | Promise<number>
}

/** In the order in which they are to be reserved. An engine that cannot tell what it needs takes nothing here. */
export async function reservesOf(
  definition: Pick<Definition, 'task' | 'stages'>,
  engine: Engine | undefined,
  work: EngineWork = engineWorkOf(definition),
): Promise<readonly Reserve[]> {
  const reserves: Reserve[] = []
  if (engine && 'need' in engine) {
    reserves.push({
      what: 'the network',
      bytes: await (engine as ForesightedEngine).need(work),
      cure: 'raise "memory", or take smaller patches and windows or fewer "initFilters"',
    })
  }
  const { bytes } = standingOf(definition.stages)
  if (bytes > 0)
    reserves.push({ what: 'patches and batches', bytes, cure: 'raise "memory", or take smaller patches or batches' })
  return reserves
}
