/** The cases that a task will read, each with its plan: headers only, several files at a time. */

import { fileFacts, type FileFacts } from '../../stages/index.ts'
import { sectionsOf, type DataSet } from '../data-set.ts'
import type { Definition, StageOptions } from '../definition.ts'
import { codeOf, PipelineError } from '../errors.ts'
import { needOf, openCase, planOpened, validationStages, type PlanFacts } from '../plan.ts'
import type { Case, Need, Plan } from '../stage.ts'
import type { Failure } from '../summary.ts'
import type { TrainOptions } from '../../stages/index.ts'

export interface PlannedCase {
  readonly case: Case
  readonly files: readonly FileFacts[]
  /** What leaves each stage. */
  readonly plans: readonly Plan[]
  readonly need: Need
}

/** Cases that pass the same stages. */
export interface PlannedSection {
  readonly name: string
  readonly stages: readonly StageOptions[]
  readonly cases: readonly PlannedCase[]
  /** Cases that would fail, as far as headers tell. */
  readonly failures: readonly Failure[]
}

/** Headers being read at a time: enough to hide a slow disk, and far from a limit on open files. */
const parallel = 16

/** Every section that the task reads and that has cases. `seen` is called after each case. */
export async function planSections(
  definition: Definition,
  dataSet: DataSet,
  facts: PlanFacts,
  seen: (done: number, total: number) => void,
): Promise<readonly PlannedSection[]> {
  const sections = stagesOfSections(definition, facts.classes)
    .map(({ name, stages }) => ({ name, stages, cases: dataSet.section(name) }))
    .filter(({ cases }) => cases.length > 0)
  const total = sections.reduce((sum, { cases }) => sum + cases.length, 0)
  let done = 0
  const planned: PlannedSection[] = []
  for (const { name, stages, cases } of sections) {
    const results = await inParallel(cases, async found => {
      const result = await planned1(stages, found, facts)
      seen(++done, total)
      return result
    })
    planned.push({
      name,
      stages,
      cases: results.flatMap(result => ('plans' in result ? [result] : [])),
      failures: results.flatMap(result => ('plans' in result ? [] : [result])),
    })
  }
  return planned
}

/** The sections that a task reads, and the stages that their cases pass. */
export function stagesOfSections(
  { task, dataset, stages }: Definition,
  classes: number,
): { readonly name: string; readonly stages: readonly StageOptions[] }[] {
  const [first, ...others] = sectionsOf(task, dataset)
  if (task !== 'train') return [{ name: first!, stages }]
  const { validate } = stages.at(-1) as unknown as TrainOptions
  const whole = validationStages(stages, classes)
  const used = others.filter(name => (name === 'validation' ? validate.every > 0 : validate.test))
  return [{ name: first!, stages }, ...used.map(name => ({ name, stages: whole }))]
}

async function planned1(
  stages: readonly StageOptions[],
  found: Case,
  facts: PlanFacts,
): Promise<PlannedCase | Failure> {
  try {
    const opened = await openCase(stages, found)
    const plans = planOpened(stages, found, opened, facts)
    return { case: found, files: fileFacts(opened), plans, need: needOf(stages, plans, facts) }
  } catch (error) {
    return failureOf(error, found)
  }
}

/** The case's error as a run would record it; a bug passes. */
export function failureOf(error: unknown, found: Case): Failure {
  if (codeOf(error) === undefined) throw error
  const { code, message, facts } = error as PipelineError
  return { case: found.id, stage: String(facts['stage'] ?? ''), code, reason: message }
}

async function inParallel<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!)
  }
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker))
  return results
}
