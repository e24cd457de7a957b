/** The definitions that a checkpoint's train_conf amounts to, where it holds a whole pipeline and not the network alone. */

import type { SegresnetOptions } from '../model/segresnet.ts'
import { codeOf } from '../pipeline/errors.ts'
import { validateDefinition } from '../pipeline/definition.ts'
import { networkFromTrainConf } from './mmar/train-conf.ts'
import { showLine } from './mmar/report.ts'

export interface TrainConfDefinitions {
  /** By task; each passes validation. Their data sets are placeholders for the user's own. */
  readonly definitions: Readonly<Partial<Record<'train' | 'infer' | 'evaluate', object>>>
  /** For people: what was taken, what was replaced, what could not be. */
  readonly lines: readonly string[]
}

/** Definitions beside `weights` (a file name); none where train_conf has no pipeline, or one that cannot be run here. */
export function definitionsOf(trainConf: unknown, network: SegresnetOptions, weights: string): TrainConfDefinitions {
  const found = ignoring(() => networkFromTrainConf(trainConf))
  if (!found?.pipeline) return { definitions: {}, lines: [] }
  const { seed, train, infer, evaluate } = found.pipeline
  const trained = { ...network, weights }
  const common = seed === undefined ? {} : { seed }
  const drafts = {
    train: {
      task: 'train',
      ...common,
      dataset: { list: 'dataset.json' },
      network,
      stages: train,
      output: 'runs/train',
    },
    ...(infer && {
      infer: { task: 'infer', dataset: { directory: 'scans' }, network: trained, stages: infer, output: 'runs/infer' },
    }),
    ...(evaluate && {
      evaluate: {
        task: 'evaluate',
        dataset: { list: 'dataset.json' },
        network: trained,
        stages: evaluate,
        output: 'runs/evaluate',
      },
    }),
  }
  const sound = Object.entries(drafts).filter(([, draft]) => ignoring(() => validateDefinition(draft, '/')))
  return { definitions: Object.fromEntries(sound), lines: found.lines.map(showLine) }
}

/** What a user's file may cause is no error here: the network and its weights stand without it. */
function ignoring<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return undefined
  }
}
