/** Lifting a function on one item to a highland transform. The only place where a case's error gets its case and stage. */

import highland from 'highland'
import { PipelineError } from '../pipeline/errors.ts'
import type { Item, Transform } from '../pipeline/stage.ts'

/** One item in, one out, at once. */
export function perItem<In extends Item, Out extends Item>(kind: string, work: (item: In) => Out): Transform {
  return source =>
    source.map((item): Item => {
      try {
        return work(item as In)
      } catch (error) {
        throw located(error, kind, item)
      }
    })
}

/** One item in, one out, with at most `parallel` items at work; their order is kept. */
export function perItemAsync<In extends Item, Out extends Item>(
  kind: string,
  parallel: number,
  work: (item: In) => Promise<Out>,
): Transform {
  return source =>
    source
      .map(item =>
        highland<Item>(
          work(item as In).catch((error: unknown) => {
            throw located(error, kind, item)
          }),
        ),
      )
      .parallel(parallel)
}

/** The same error with the stage and the case in its facts; a bug (no code) passes unchanged. */
function located(error: unknown, kind: string, item: Item): unknown {
  if (!(error instanceof PipelineError) || 'case' in error.facts) return error
  const id = 'case' in item ? item.case.id : item.cases.join(', ')
  return new PipelineError(error.code, error.message, { ...error.facts, case: id, stage: kind }, { cause: error })
}

/** One item in, several out, in order; at most `parallel` items at work. */
export function perItemMany<In extends Item, Out extends Item>(
  kind: string,
  parallel: number,
  work: (item: In) => Promise<Out[]>,
): Transform {
  return source =>
    source
      .map(item =>
        highland<Item[]>(
          work(item as In).catch((error: unknown) => {
            throw located(error, kind, item)
          }),
        ).flatten<Item>(),
      )
      .parallel(parallel)
}
