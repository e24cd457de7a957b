/** The cases that a task will read, each with its plan: headers only, several files at a time. */

import { fileFacts, isOnDisk, type FileFacts } from '../../stages/index.ts'
import { sectionsOf, type DataSet } from '../data-set.ts'
import type { Definition, StageOptions } from '../definition.ts'
import { codeOf, PipelineError } from '../errors.ts'
import { needOf, openCase, planOpened, validationStages, type PlanFacts } from '../plan.ts'
import type { Need } from '../claims.ts'
import type { Case } from '../flow.ts'
import type { Plan } from '../planned.ts'
import type { Failure } from '../summary.ts'
import type { TrainOptions } from '../../stages/index.ts'

export interface PlannedCase {
  readonly case: Case
  readonly files: readonly FileFacts[]
  /** What leaves each stage. */
  readonly plans: readonly Plan[]
  readonly need: Need
  /** Whether an earlier run has left it in the cache on disk. */
  readonly isOnDisk: boolean
}

/** Cases that pass the same stages. */
export interface PlannedSection {
  readonly name: string
  readonly stages: readonly StageOptions[]
  /** How often its cases pass them. */
  readonly passes: number
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
    .map(section => ({ ...section, cases: dataSet.section(section.name) }))
    .filter(({ cases }) => cases.length > 0)
  const total = sections.reduce((sum, { cases }) => sum + cases.length, 0)
  let done = 0
  const planned: PlannedSection[] = []
  for (const { cases, ...section } of sections) {
    const results = await inParallel(cases, async found => {
      const result = await planOne(section.stages, found, facts)
      seen(++done, total)
      return result
    })
    planned.push({
      ...section,
      cases: results.flatMap(result => ('plans' in result ? [result] : [])),
      failures: results.flatMap(result => ('plans' in result ? [] : [result])),
    })
  }
  return planned
}

/** The sections that a task reads, the stages that their cases pass, and how often. */
export function stagesOfSections(
  { task, dataset, stages }: Definition,
  classes: number,
): Pick<PlannedSection, 'name' | 'stages' | 'passes'>[] {
  const [first, ...others] = sectionsOf(task, dataset)
  if (task !== 'train') return [{ name: first!, stages, passes: 1 }]
  const { epochs, validate } = stages.at(-1) as unknown as TrainOptions
  const whole = validationStages(stages, classes)
  const validations = validate.every > 0 ? Math.ceil(epochs / validate.every) : 0
  const passesOf = (name: string): number => (name === 'validation' ? validations : validate.test ? 1 : 0)
  const wholes = others.map(name => ({ name, stages: whole, passes: passesOf(name) }))
  return [{ name: first!, stages, passes: epochs }, ...wholes.filter(({ passes }) => passes > 0)]
}

async function planOne(stages: readonly StageOptions[], found: Case, facts: PlanFacts): Promise<PlannedCase | Failure> {
  try {
    const opened = await openCase(stages, found)
    const plans = planOpened(stages, found, opened, facts)
    const need = needOf(stages, plans, facts)
    return { case: found, files: fileFacts(opened), plans, need, isOnDisk: await isOnDisk(stages, found) }
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
