/** The configurations of inference and of validation on their own: scans to masks on the scans' grids, and their Dice. */

import { Chain, type StageValue } from './chain.ts'
import { field, isObject, type JsonFile, type JsonObject } from './json.ts'
import { noEnding, readHandlers, readInferer, readPostTransforms, type Ending } from './inference.ts'
import type { Report } from './report.ts'
import { readDataLoader, readDataset, readMetrics, Section, type CaseSource } from './section.ts'
import { readEvaluator, readSeed, readSettings } from './settings.ts'
import { readTransforms } from './transforms.ts'

export interface Evaluation {
  readonly volumes: readonly StageValue[]
  readonly windows?: JsonObject
  readonly ending: Readonly<Ending>
  readonly cases: CaseSource
  readonly seed?: number
}

/** `undefined` where the file holds no evaluation: no transforms. */
export function readEvaluation(file: JsonFile, classes: number, report: Report): Evaluation | undefined {
  const root = file.value
  if (!isObject(root) || field(root, 'pre_transforms') === undefined) return undefined
  const section = new Section(file, '', root, report)
  const chain = new Chain()
  readTransforms(section.components('pre_transforms'), { chain, classes }, report)
  const cases = readDataset(section)
  readDataLoader(section, 'other')
  const ending = noEnding()
  const windows = readInferer(section.component('inferer'), report)
  readPostTransforms(section.components('post_transforms'), ending, report)
  readHandlers(section.components('handlers'), ending, report)
  readMetrics(section, classes)
  readEvaluator(section)
  const model = section.raw('model')
  if (model !== undefined)
    report.add(
      'replaced',
      section.at('model'),
      'model',
      'the weights of models/model.pt; TorchScript (ts_path) is not run',
    )
  if (!ending.invert)
    report.add(
      'taken',
      section.at('post_transforms'),
      'no inversion',
      'infer {"invert": false}: masks stay on the grid that the network sees',
    )
  section.skip('determinism')
  section.done()
  readSettings(file, root, report)
  const seed = readSeed(file, root, report)
  return {
    volumes: chain.volumesReadBy(cases.parallel),
    ...(windows && { windows }),
    ending,
    cases,
    ...(seed !== undefined && { seed }),
  }
}
