/** Running one stage as a definition would: options from JSON through its schema, samples through its transform. */

import { Ajv } from 'ajv'
import highland from 'highland'
import { openLedger } from '../../pipeline/ledger.ts'
import { unknownOrder } from '../../pipeline/schedule.ts'
import type { Case, Item, Sample } from '../../pipeline/flow.ts'
import type { Volume } from '../../pipeline/grid.ts'
import type { Context, Upstream } from '../../pipeline/stage.ts'
import type { AnyStage } from '../../stages/index.ts'

const ajv = new Ajv({ useDefaults: true, strict: false })

/** The options with their defaults; an Error where the schema refuses them. */
export function optionsFrom(stage: Pick<AnyStage, 'schema'>, json: object): never {
  const options = structuredClone(json)
  if (!ajv.validate(stage.schema, options)) throw new Error(ajv.errorsText())
  return options as never
}

/** What a stage may ask of its run; anything else is a bug of the test. */
export function contextOf(fields: Partial<Context> = {}): Context {
  return {
    seed: 1,
    random: { mode: 'counter' },
    ledger: openLedger(2 ** 30),
    upcoming: unknownOrder,
    folder: '',
    engine: () => {
      throw new Error('this test has no engine')
    },
    signal: new AbortController().signal,
    count: () => {},
    note: () => {},
    ...fields,
  }
}

export const nothingBefore: Upstream = { flow: source => source, stages: [] }

/** What comes out of one stage; rejects with its first error. */
export async function runStage(stage: AnyStage, json: object, samples: readonly Sample[]): Promise<Sample[]> {
  const transform = stage.create(optionsFrom(stage, json), contextOf(), nothingBefore)
  return (await transform(highland<Item>([...samples]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
}

/** A sample with these volumes. */
export function sampleWith(
  volumes: { image?: Volume; label?: Volume; prediction?: Volume },
  files: Partial<Case> = {},
): Sample {
  return { case: { id: 'case', index: 0, ...files }, epoch: 0, steps: [], patch: 0, draws: {}, ...volumes }
}
