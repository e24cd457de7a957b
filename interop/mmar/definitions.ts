/** What was read becomes definitions, each with the stages of its task. */

import { validateDefinition } from '../../pipeline/definition.ts'
import { codeOf } from '../../pipeline/errors.ts'
import type { Problem } from '../../pipeline/problems.ts'
import type { SegresnetOptions } from '../../model/segresnet.ts'
import type { CaseList } from './cases.ts'
import { imageOnly, type StageValue } from './chain.ts'
import type { Evaluation } from './evaluation.ts'
import type { Json, JsonObject } from './json.ts'
import type { Report } from './report.ts'
import type { Training } from './training.ts'

export type TaskName = 'train' | 'infer' | 'evaluate'

/** Stages from a scan without a label to a mask on its own grid. */
function inferStages(volumes: readonly StageValue[], windows: JsonObject | undefined, invert: boolean): StageValue[] {
  return [...imageOnly(volumes), { kind: 'infer', ...windows, invert }, { kind: 'save' }]
}

/** Stages from a scan with its label to the Dice of a mask, which is written on the way where that is asked for. */
function evaluateStages(
  volumes: readonly StageValue[],
  windows: JsonObject | undefined,
  { invert, save }: { readonly invert: boolean; readonly save: boolean },
): StageValue[] {
  const saved: StageValue[] = save ? [{ kind: 'save' }] : []
  return [...volumes, { kind: 'infer', ...windows, invert }, ...saved, { kind: 'dice', emptyRule: 'monai' }]
}

/** The same from the section "validate" of a training, whose Dice is that of the grid the network sees. */
export function stagesOfValidation({
  validation,
}: Training): { infer: StageValue[]; evaluate: StageValue[] } | undefined {
  if (!validation) return undefined
  const { volumes, windows } = validation
  return {
    infer: inferStages(volumes, windows, true),
    evaluate: evaluateStages(volumes, windows, { invert: false, save: false }),
  }
}

/** The same from a configuration of its own. */
export function stagesOfEvaluation({ volumes, windows, ending }: Evaluation, task: 'infer' | 'evaluate'): StageValue[] {
  return task === 'infer' ? inferStages(volumes, windows, ending.invert) : evaluateStages(volumes, windows, ending)
}

export interface Draft {
  readonly task: TaskName
  readonly description: string
  readonly seed?: number
  readonly cases: CaseList
  /** Which part of the list, for tasks that choose one. */
  readonly section?: string
  readonly network: SegresnetOptions
  /** Relative to the definition. */
  readonly weights?: string
  readonly stages: readonly StageValue[]
}

/** The definition as it is written. */
export function definitionOf({ task, description, seed, cases, section, network, weights, stages }: Draft): JsonObject {
  return {
    description,
    task,
    ...(seed !== undefined && { seed }),
    dataset: { ...cases, ...(section !== undefined && { section }) } as JsonObject,
    network: { ...(network as unknown as JsonObject), ...(weights !== undefined && { weights }) },
    stages: stages as unknown as Json,
    output: `runs/${task}`,
  }
}

/** True for a definition that `run-pipeline` takes; else its problems are in the report, and it is not written. */
export function isSound(name: string, value: JsonObject, folder: string, report: Report): boolean {
  try {
    validateDefinition(value, folder)
    return true
  } catch (error) {
    if (codeOf(error) !== 'ERR_DEFINITION') throw error
    for (const { path, message } of (error as { facts: { problems: readonly Problem[] } }).facts.problems)
      report.add('refused', { file: name, pointer: path }, `${name} is not written`, message)
    return false
  }
}
