/** Lifting a function on one item to a highland transform. The only place where a case's error gets its case and stage. */

import highland from 'highland'
import { aheadInOrder } from './ahead.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { currentProbe, type Probe } from '../pipeline/probe.ts'
import type { Item } from '../pipeline/flow.ts'
import type { Transform } from '../pipeline/stage.ts'

/** One item in, one out, at once. */
export function perItem<In extends Item, Out extends Item>(kind: string, work: (item: In) => Out): Transform {
  return described(['map'], source => {
    const probe = currentProbe()
    return source.map((item): Item => atOnce(kind, probe, item, () => work(item as In)))
  })
}

/**
 * One item in, one out; their order is kept. At most `parallel` items have been begun that nobody has taken yet: at work,
 * or done and waiting. The work goes on while those who take are busy with something else, so that the next items are
 * ready when they ask again. Nothing is begun before somebody asks for the first one.
 */
export function perItemAsync<In extends Item, Out extends Item>(
  kind: string,
  parallel: number,
  work: (item: In) => Promise<Out>,
): Transform {
  return described([`ahead(${parallel})`], source => {
    const probe = currentProbe()
    return aheadInOrder(source, parallel, async item => {
      probe.began(item)
      try {
        return await work(item as In)
      } catch (error) {
        throw located(error, kind, item)
      } finally {
        probe.ended(item)
      }
    })
  })
}

/** The error with the stage and the case in its facts and the file in its words; a bug (no code) passes unchanged. */
export function located(error: unknown, kind: string, item: Item): unknown {
  // The case ends here.
  if ('claim' in item) item.claim?.release()
  if (isTooLarge(error)) return located(tooLarge(error), kind, item)
  if (!(error instanceof PipelineError) || 'case' in error.facts || error.code === 'ERR_INTERRUPTED') return error
  const id = 'case' in item ? item.case.id : item.cases.join(', ')
  const file = ('case' in item && (item.case.image ?? item.case.prediction)) || id
  const message = namesFile(error.message, item) ? error.message : `${file}: ${kind}: ${error.message}`
  // What stages before have written for it is no result.
  const files = 'files' in item ? { files: item.files } : {}
  return new PipelineError(error.code, message, { ...error.facts, ...files, case: id, stage: kind }, { cause: error })
}

function namesFile(message: string, item: Item): boolean {
  if (!('case' in item)) return false
  const { image, label, prediction } = item.case
  return [image, label, prediction].some(path => path !== undefined && message.includes(path))
}

/** A typed array that the runtime refuses: the case asks for more than there can be, which is not a bug of ours. */
function isTooLarge(error: unknown): error is RangeError {
  return error instanceof RangeError && /array length|allocation failed/i.test(error.message)
}

function tooLarge(error: RangeError): PipelineError {
  return new PipelineError(
    'ERR_VOLUME',
    `a volume or a window of this size does not fit into memory (${error.message}); choose a coarser spacing or a smaller window, or mend the header`,
    {},
    { cause: error },
  )
}

/** One item in, several out, at once and one item after the other: the place for draws whose order matters. */
export function perItemMany<In extends Item, Out extends Item>(kind: string, work: (item: In) => Out[]): Transform {
  return described(['flatMap'], source => {
    const probe = currentProbe()
    return source.flatMap(item => highland<Item>(atOnce(kind, probe, item, () => work(item as In))))
  })
}

function atOnce<Out>(kind: string, probe: Probe, item: Item, work: () => Out): Out {
  probe.began(item)
  try {
    return work()
  } catch (error) {
    throw located(error, kind, item)
  } finally {
    probe.ended(item)
  }
}

/** One after the other. */
export function inSequence(...transforms: readonly Transform[]): Transform {
  const operators = transforms.flatMap(transform => transform.operators ?? [])
  return described(operators, source => transforms.reduce((stream, transform) => transform(stream), source))
}

/** The transform with what it does to the stream in words. */
export function described(operators: readonly string[], transform: Transform): Transform {
  return Object.assign((source: Highland.Stream<Item>) => transform(source), { operators })
}
