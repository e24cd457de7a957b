/** Stages become one highland flow; the runner owns its source and its end. */

import highland from 'highland'
import { stageOf } from '../stages/index.ts'
import { codeOf, type PipelineError } from './errors.ts'
import type { StageOptions } from './definition.ts'
import type { Meter } from './meter.ts'
import { meteredStage } from './metered.ts'
import type { Context, Item, Transform, Upstream } from './stage.ts'

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
  /** A case's error. May throw, which ends the run with what it throws. */
  caseFailed(error: PipelineError): void
}

/** Errors that are not a case's fault: they end a run whatever `onError` says. */
const fatal: ReadonlySet<string> = new Set([
  'ERR_ENGINE',
  'ERR_OUTPUT',
  'ERR_INTERRUPTED',
  'ERR_WEIGHTS',
  'ERR_DEFINITION',
])

/**
 * Sends items through a flow and waits for the end. Items are made only when somebody pulls. After a fatal error, or
 * when the signal aborts, the source ends, what is in flight is waited for and dropped, and the promise rejects with
 * the first error: nothing is left running.
 */
export async function drain<In extends Item>(
  inputs: readonly In[],
  flow: Transform,
  sink: Sink,
  signal?: AbortSignal,
): Promise<void> {
  let failure: { error: unknown } | undefined
  let next = 0
  const source = highland<Item>((push, more) => {
    if (failure || signal?.aborted || next >= inputs.length) push(null, highland.nil)
    else {
      push(null, inputs[next++]!)
      more()
    }
  })
  const attempt = async (work: () => void | Promise<void>): Promise<void> => {
    if (failure) return
    try {
      await work()
    } catch (error) {
      failure ??= { error }
    }
  }
  await new Promise<void>(resolve => {
    flow(source)
      .errors((error, push) => {
        const code = codeOf(error)
        if (code === undefined || fatal.has(code)) failure ??= { error }
        else {
          // Not awaited: a case's failure is recorded at once.
          try {
            if (!failure) sink.caseFailed(error as PipelineError)
          } catch (thrown) {
            failure ??= { error: thrown }
          }
        }
        // Errors end here; `push` would send them on.
        void push
      })
      .map(item =>
        highland(
          attempt(() => sink.item(item)).then(() => {
            // Who dropped it or wrote it down was the last to have it.
            if ('claim' in item) item.claim?.release()
            return true
          }),
        ),
      )
      .sequence()
      .done(resolve)
  })
  if (failure) throw failure.error
}
