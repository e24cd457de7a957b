/** Which highland transform each stage is, as the transforms that it builds say themselves. */

import { stageOf } from '../../stages/index.ts'
import type { StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import type { Flow } from '../flow.ts'
import type { Random, Transform } from '../stage.ts'

export interface StageTransform {
  readonly kind: string
  readonly takes: readonly Flow[]
  readonly gives: Flow
  /** What it does to the stream, step by step: highland's own "map", "flatMap", "batch(8)", and our "ahead(2)". */
  readonly operators: readonly string[]
  /** How a function on one item is lifted to the stream, for people. */
  readonly lifted: string
  /** Most items begun and not yet taken, all its steps together; 0 where each is done at once. */
  readonly parallel: number
  /** The result depends on the epoch. */
  readonly random: boolean
  /** The stage decides itself whether the stages before it run. */
  readonly wraps: boolean
}

const unchanged: Transform = source => source

/** The transform of every stage of a valid definition. */
export function transformsOf(stages: readonly StageOptions[], random: Random['mode']): StageTransform[] {
  const context = dryContext(random)
  return stages.map((options, i) => {
    const stage = stageOf(options.kind)
    const before = { flow: unchanged, stages: stages.slice(0, i) }
    const { operators = [] } = stage.create(options, context, before)
    const ahead = operators.flatMap(operator => /^ahead\((\d+)\)$/.exec(operator)?.slice(1).map(Number) ?? [])
    return {
      kind: options.kind,
      takes: stage.takes,
      gives: stage.gives,
      operators,
      lifted: lifted(operators, ahead),
      parallel: ahead.reduce((sum, n) => sum + n, 0),
      random: stage.random ?? false,
      wraps: stage.wraps ?? false,
    }
  })
}

function lifted(operators: readonly string[], ahead: readonly number[]): string {
  const batch = operators.map(operator => /^batch\((\d+)\)$/.exec(operator)?.[1]).find(size => size !== undefined)
  const shape = batch
    ? `${batch} in, one out`
    : operators.includes('flatMap')
      ? 'one in, several out'
      : 'one in, one out'
  return `${shape}, ${ahead.length === 0 ? 'at once' : `${Math.max(...ahead)} ahead, in order`}`
}
