/** The trainings that an epoch is measured with: plain data, so that it crosses to other processes. */

import { join } from 'node:path'
import type { Definition } from '../../pipeline/definition.ts'
import { loadDefinition, validateDefinition } from '../../pipeline/definition.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { publishedPatch } from '../network/work.ts'
import { projectRoot } from '../machine.ts'

export interface EpochWork {
  readonly what: 'epoch' | 'steps'
  readonly training: 'published' | 'small'
  /** Where runs may write. */
  readonly folder: string
}

/** Epochs of a run, the first of which fills the cache. */
export const epochs = 3

/** No validation and no test: an epoch's time is its steps'. */
const train = { kind: 'train', epochs, validate: { every: 0, test: false } }

/** The published network on scans just larger than its patches, and the training that the README begins with. */
export function definitionOf({ training, folder }: EpochWork): Definition {
  const output = join(folder, training)
  if (training === 'small') {
    const file = join(projectRoot(), 'fixtures', 'pipelines', 'train.json')
    const settings = {
      'stages.train.epochs': epochs,
      'stages.train.validate.every': 0,
      'stages.train.validate.test': false,
    }
    return loadDefinition(
      file,
      Object.entries({ ...settings, output: JSON.stringify(output) }).map(([path, value]) => `${path}=${value}`),
    )
  }
  return validateDefinition(
    {
      task: 'train',
      memory: '2GiB',
      dataset: { phantoms: { training: 4, validation: 1, testing: 1, seed: 5, shape: [256, 256, 48] } },
      network: { kind: 'segresnet' },
      stages: [
        { kind: 'load' },
        { kind: 'map-label', classes: 2 },
        { kind: 'clip', min: -1000, max: 500 },
        { kind: 'cache' },
        { kind: 'crop', size: publishedPatch, samples: 2 },
        { kind: 'augment' },
        { kind: 'batch', size: 1 },
        train,
      ],
      output,
    },
    folder,
  )
}

/** Of the batches that the engine gets. */
export function stepsOf({ dataset, stages }: Definition): { steps: number; batch: number; patch: Shape3 } {
  const option = <Value>(kind: string, name: string): Value => stages.find(stage => stage.kind === kind)![name] as Value
  const batch = option<number>('batch', 'size')
  const patches = dataset.phantoms!.training * option<number>('crop', 'samples')
  return { steps: Math.ceil(patches / batch), batch, patch: option<Shape3>('crop', 'size') }
}
