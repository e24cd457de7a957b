/**
 * What a case will take on its way through the stages, told from its headers; what a flow holds whatever the case; and
 * what its network will be asked to do.
 */

import {
  located,
  openFiles,
  planLoaded,
  stageOf,
  type LoadOptions,
  type OpenedFiles,
  type TrainOptions,
} from '../stages/index.ts'
import { stagesBeforeRandom } from './compose.ts'
import type { Definition, StageOptions } from './definition.ts'
import type { Need } from './claims.ts'
import type { EngineWork } from './engine.ts'
import type { Case } from './flow.ts'
import type { Shape3 } from './grid.ts'
import type { Plan, Standing } from './planned.ts'
import { sampleOf } from './tasks/task.ts'

/** What plans depend on beside the stages. */
export interface PlanFacts {
  /** Of the network; 0 where there is none. */
  readonly classes: number
}

/** Opens a case's files as its first stage would, and reads their headers. Rejects with the error that stage would report. */
export function openCase([load]: readonly StageOptions[], found: Case): Promise<OpenedFiles> {
  return at('load', found, () => openFiles(load as unknown as LoadOptions, found))
}

/** What leaves each of the stages, the first of which is `load`. Throws the case's error, as the stage would report it. */
export function planOpened(
  stages: readonly StageOptions[],
  found: Case,
  opened: OpenedFiles,
  facts: PlanFacts,
): readonly Plan[] {
  const plans: Plan[] = [planLoaded(opened)]
  for (const options of stages.slice(1)) {
    try {
      plans.push(after(options, plans.at(-1)!, facts))
    } catch (error) {
      throw located(error, options.kind, sampleOf(found, 0))
    }
  }
  return plans
}

/** Both at once: for who needs the headers for nothing else. */
export async function planCase(
  stages: readonly StageOptions[],
  found: Case,
  facts: PlanFacts,
): Promise<readonly Plan[]> {
  return planOpened(stages, found, await openCase(stages, found), facts)
}

/** The plan behind a stage. */
function after(options: StageOptions, before: Plan, facts: PlanFacts): Plan {
  const stage = stageOf(options.kind)
  const plan = stage.plan ? stage.plan(options, before, facts) : before
  return { ...plan, flow: stage.gives }
}

async function at<T>(kind: string, found: Case, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw located(error, kind, sampleOf(found, 0))
  }
}

/** What a case with these plans claims: in all, and once a cache has its volumes. */
export function needOf(stages: readonly StageOptions[], plans: readonly Plan[], facts: PlanFacts): Need {
  const bytes = plans.at(-1)!.bytes
  const cache = stages.findLastIndex(({ kind }) => stageOf(kind).wraps)
  if (cache < 0) return { bytes, later: bytes }
  let plan: Plan = { ...plans[cache]!, bytes: 0 }
  for (const options of stages.slice(cache + 1)) plan = after(options, plan, facts)
  return { bytes, later: Math.max(0, plan.bytes - plans[cache]!.resident) }
}

/** Bytes that the stages hold whatever the case. */
export function standingOf(stages: readonly StageOptions[]): Standing {
  const none: Standing = { patchesPerCase: 1, bytes: 0 }
  return stages.reduce((standing, options) => stageOf(options.kind).standing?.(options, standing) ?? standing, none)
}

/** The stages that whole volumes pass for validation: those before the first random one, then windows and Dice. */
export function validationStages(stages: readonly StageOptions[], classes: number): readonly StageOptions[] {
  const train = stages.at(-1) as unknown as TrainOptions
  const { every: _, test: __, emptyRule, ...windows } = train.validate
  return [
    ...stagesBeforeRandom(stages),
    { ...windows, kind: 'infer', invert: false, tta: [], parallel: 1 },
    // Once an epoch, and only to compare weights: without what takes long.
    { kind: 'dice', emptyRule, classes, surface: false, lesions: false, regrid: false, parallel: 1 },
  ]
}

/** As far as the definition tells; windows that take an image's own extent are in the plans of the cases. */
export function engineWorkOf({ task, stages }: Pick<Definition, 'task' | 'stages'>): EngineWork {
  const { patch, batch } = standingOf(stages)
  const train = task === 'train' ? (stages.at(-1) as unknown as TrainOptions) : undefined
  const asked = [train?.validate.window, ...stages.filter(({ kind }) => kind === 'infer').map(({ window }) => window)]
  const windows = asked.filter(window => window !== undefined) as Shape3[]
  return {
    ...(train && patch && batch !== undefined && { step: { patch, batch } }),
    windows: windows.filter(window => !window.includes(0)),
  }
}
