/** Stages become one highland flow; the runner owns its source and its end. */

import highland from 'highland'
import { stageOf } from '../stages/index.ts'
import { codeOf, type PipelineError } from './errors.ts'
import type { StageOptions } from './definition.ts'
import type { Meter } from './meter.ts'
import { meteredStage } from './metered.ts'
import type { Item } from './flow.ts'
import type { Context, Transform, Upstream } from './stage.ts'

const unchanged: Transform = source => source

/** The flow after each stage: `flows[i]` is stages 0 to i, one highland transform per stage. `meter` counts their time. */
export function compose(stages: readonly StageOptions[], context: Context, meter?: Meter): Transform[] {
  const flows: Transform[] = []
  let flow = unchanged
  for (const options of stages) {
    const before: Upstream = { flow, stages: stages.slice(0, flows.length) }
    const transform = buildStage(options, context, before, meter)
    flow = stageOf(options.kind).wraps ? transform : source => transform(before.flow(source))
    flows.push(flow)
  }
  return flows
}

/** One stage of a flow, with a row of the meter where there is one. */
export function buildStage(options: StageOptions, context: Context, before: Upstream, meter?: Meter): Transform {
  const { takes, gives, wraps = false, ...stage } = stageOf(options.kind)
  if (!meter) return stage.create(options, context, before)
  const create = (lent: Context, upstream: Upstream): Transform => stage.create(options, lent, upstream)
  return meteredStage(meter, options.kind, { takes, gives, wraps }, create, context, before)
}

/** The deterministic part: everything before the first stage whose result depends on the epoch. */
export function deterministicPrefix(stages: readonly StageOptions[], flows: readonly Transform[]): Transform {
  return flows[stagesBeforeRandom(stages).length - 1] ?? unchanged
}

/** The stages of the deterministic part. */
export function stagesBeforeRandom(stages: readonly StageOptions[]): readonly StageOptions[] {
  const first = stages.findIndex(({ kind }) => stageOf(kind).random || stageOf(kind).gives !== 'volume')
  return stages.slice(0, Math.max(0, first))
}

export interface Sink {
  item(item: Item): void | Promise<void>
  /** A case's error, in the order of the items. May throw, which ends the run with what it throws. */
  caseFailed(error: PipelineError): void | Promise<void>
}

/** Errors that are not a case's fault: they end a run whatever `onError` says. */
const fatal: ReadonlySet<string> = new Set([
  'ERR_ENGINE',
  'ERR_OUTPUT',
  'ERR_INTERRUPTED',
  'ERR_WEIGHTS',
  'ERR_DEFINITION',
])

/** A case's error on its way to the sink. */
class Failed {
  readonly error: PipelineError

  constructor(error: PipelineError) {
    this.error = error
  }
}

/**
 * Sends items through a flow and waits for the end. Items are made only when somebody pulls. After a fatal error, or
 * when the signal aborts, the source ends, what is in flight is waited for and dropped, and the promise rejects with
 * the first error: nothing is left running. What `inputs` does beyond giving items is for its owner to end.
 */
export async function drain<In extends Item>(
  inputs: Iterable<In> | AsyncIterable<In>,
  flow: Transform,
  sink: Sink,
  signal?: AbortSignal,
): Promise<void> {
  let failure: { error: unknown } | undefined
  let end!: () => void
  const stopped = new Promise<IteratorResult<In>>(resolve => {
    end = () => resolve({ done: true, value: undefined })
  })
  const fail = (error: unknown): void => {
    failure ??= { error }
    end()
  }
  signal?.addEventListener('abort', end, { once: true })
  const iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]()
  const source = highland<Item>((push, more) => {
    const give = ({ done, value }: IteratorResult<In>): void => {
      if (done || failure || signal?.aborted) return void push(null, highland.nil)
      push(null, value)
      more()
    }
    const refuse = (error: unknown): void => {
      fail(error)
      push(null, highland.nil)
    }
    if (failure || signal?.aborted) return void push(null, highland.nil)
    const next = iterator.next()
    if (next instanceof Promise) void Promise.race([next, stopped]).then(give, refuse)
    else give(next)
  })
  const attempt = async (work: () => void | Promise<void>): Promise<void> => {
    if (failure) return
    try {
      await work()
    } catch (error) {
      fail(error)
    }
  }
  await new Promise<void>(resolve => {
    ;(flow(source) as unknown as Highland.Stream<Item | Failed>)
      .errors((error, push) => {
        const code = codeOf(error)
        if (code === undefined || fatal.has(code)) fail(error)
        else push(null, new Failed(error as PipelineError))
      })
      .map(item =>
        highland(
          attempt(() => (item instanceof Failed ? sink.caseFailed(item.error) : sink.item(item))).then(() => {
            // Who dropped it or wrote it down was the last to have it.
            if ('claim' in item) item.claim?.release()
            return true
          }),
        ),
      )
      .sequence()
      .done(resolve)
  })
  signal?.removeEventListener('abort', end)
  if (failure) throw failure.error
}
