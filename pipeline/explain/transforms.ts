/** Which highland transform each stage is, found out by letting it build itself on a stream that only takes notes. */

import { stageOf } from '../../stages/index.ts'
import type { StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import type { Flow, Random, Transform } from '../stage.ts'

export interface StageTransform {
  readonly kind: string
  readonly takes: readonly Flow[]
  readonly gives: Flow
  /** Highland's operators in the order in which the stage calls them, such as "map" and "parallel(2)". */
  readonly operators: readonly string[]
  /** How a function on one item is lifted to the stream, for people. */
  readonly lifted: string
  /** Most items at work at once, all its operators together; 0 where each is done at once. */
  readonly parallel: number
  /** The result depends on the epoch. */
  readonly random: boolean
  /** The stage decides itself whether the stages before it run. */
  readonly wraps: boolean
}

interface Call {
  readonly name: string
  /** The number it was given, where it was given one. */
  readonly count?: number
}

const unchanged: Transform = source => source

/** The transform of every stage of a valid definition. */
export function transformsOf(stages: readonly StageOptions[], random: Random['mode']): StageTransform[] {
  const context = dryContext(random)
  return stages.map((options, i) => {
    const stage = stageOf(options.kind)
    const calls = callsOf(stage.create(options, context, { flow: unchanged, stages: stages.slice(0, i) }))
    const wraps = stage.wraps ?? false
    return {
      kind: options.kind,
      takes: stage.takes,
      gives: stage.gives,
      operators: calls.map(({ name, count }) => (count === undefined ? name : `${name}(${count})`)),
      lifted: lifted(calls, wraps),
      parallel: calls.reduce((sum, { name, count = 0 }) => sum + (name === 'parallel' ? count : 0), 0),
      random: stage.random ?? false,
      wraps,
    }
  })
}

/** What a transform calls on its source. */
function callsOf(transform: Transform): Call[] {
  const calls: Call[] = []
  const notes: unknown = new Proxy(
    {},
    {
      get: (_target, name) => (first: unknown) => {
        calls.push({ name: String(name), ...(typeof first === 'number' && { count: first }) })
        return notes
      },
    },
  )
  transform(notes as never)
  return calls
}

function lifted(calls: readonly Call[], wraps: boolean): string {
  const batch = calls.find(({ name }) => name === 'batch')
  const several = calls.some(({ name }) => name === 'flatMap')
  const parallel = calls.filter(({ name }) => name === 'parallel').map(({ count }) => count!)
  const shape = batch ? `${batch.count} in, one out` : several ? 'one in, several out' : 'one in, one out'
  const how = parallel.length === 0 ? 'at once' : `${Math.max(...parallel)} at a time, in order`
  return `${shape}, ${how}${wraps ? '; runs the stages before it only where it must' : ''}`
}
