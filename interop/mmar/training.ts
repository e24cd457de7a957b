/** The configuration of a training: its network, its stages, and how it is validated. */

import type { SegresnetOptions } from '../../model/segresnet.ts'
import { Chain, type StageValue } from './chain.ts'
import { Args, rowOf, type Component } from './component.ts'
import { noEnding, readHandlers, readMetricTransforms } from './inference.ts'
import { field, isObject, type JsonFile, type JsonObject } from './json.ts'
import { readLoss, readOptimizer, readSchedule } from './learning.ts'
import { readNetwork } from './network.ts'
import type { Report } from './report.ts'
import { readDataLoader, readDataset, Section, type CaseSource } from './section.ts'
import { readAmp, readSeed, readSettings } from './settings.ts'
import { readTransforms } from './transforms.ts'
import { readValidation, type Validation } from './validation.ts'

export interface Training {
  readonly network: SegresnetOptions
  readonly seed?: number
  /** From "load" to "train". */
  readonly stages: readonly StageValue[]
  readonly cases: CaseSource
  /** Training starts from the MMAR's own weights. */
  readonly fromCheckpoint: boolean
  /** Absent where there is no section "validate". */
  readonly validation?: Validation
}

/** Reads a whole training; `undefined` where the file has no section "train" with a network. */
export function readTraining(file: JsonFile, report: Report): Training | undefined {
  const root = file.value
  if (!isObject(root)) return undefined
  const train = field(root, 'train')
  if (!isObject(train)) return undefined
  const section = new Section(file, '/train', train, report)
  const model = section.component('model')
  if (!model) return undefined
  const network = readNetwork(model, report)
  const pre = section.components('pre_transforms')
  const chain = new Chain()
  readTransforms(pre, { chain, classes: network.outChannels }, report)
  const cases = readDataset(section)
  if (cases.key !== undefined && cases.key !== 'training')
    report.add(
      'refused',
      section.at('dataset'),
      `data_list_key=${cases.key}`,
      'training takes the section "training" of the list here',
    )
  const batch = batchStage(section, chain)
  const post = section.components('post_transforms')
  const handlers = readTrainHandlers(section)
  const { epochs } = readTrainer(section, handlers)
  const inferer = section.component('inferer')
  if (inferer) report.add('unneeded', inferer.at, inferer.name, 'a training step is one call of the network')
  readMetricTransforms(post, report)
  for (const name of ['key_metric', 'key_metrics', 'metrics', 'additional_metrics', 'search']) {
    if (section.raw(name) !== undefined)
      report.add('unneeded', section.at(name), name, 'metrics of training patches are not computed; the loss is logged')
  }
  const validation = readValidation(file, root, { pre, post, network, chain }, report)
  const learning = readLearning(section, handlers.scheduled)
  section.done()
  const whole = new Section(file, '', root, report)
  whole.skip('train', 'validate', 'determinism')
  whole.done()
  readSettings(file, root, report)
  const seed = readSeed(file, root, report)
  return {
    network,
    ...(seed !== undefined && { seed }),
    stages: [
      ...chain.volumesReadBy(cases.parallel),
      ...(cases.cached ? [{ kind: 'cache', parallel: cases.parallel }] : []),
      ...chain.random(),
      batch,
      {
        kind: 'train',
        epochs,
        ...learning,
        validate: {
          every: validation ? handlers.every : 0,
          test: false,
          emptyRule: 'monai',
          ...validation?.windows,
        },
      },
    ],
    cases,
    fromCheckpoint: handlers.fromCheckpoint,
    ...(validation && { validation }),
  }
}

/** A batch of scans, cut into patches, is a batch of scans times patches. */
function batchStage(section: Section, chain: Chain): StageValue {
  const scans = readDataLoader(section, 'train')
  const size = scans * chain.samples
  section.report.add(
    'taken',
    section.at('dataloader'),
    `batch_size=${scans} x num_samples=${chain.samples}`,
    `batch {"size": ${size}}: patches in a step`,
  )
  return { kind: 'batch', size }
}

function readLearning(section: Section, scheduled: boolean): JsonObject {
  const { report } = section
  const [loss, optimizer, scheduler] = ['loss', 'optimizer', 'lr_scheduler'].map(name => section.component(name))
  for (const [name, found] of [
    ['loss', loss],
    ['optimizer', optimizer],
  ] as const) {
    if (!found) report.addOnce('refused', section.at(name), name, 'there is none; the default of "train" stands in')
  }
  const schedule = scheduler && readSchedule(scheduler, report)
  if (schedule && !scheduled)
    report.add(
      'replaced',
      scheduler!.at,
      scheduler!.name,
      'no LrScheduleHandler steps it there, so the rate is constant',
    )
  const options = {
    loss: loss && readLoss(loss, report),
    optimizer: optimizer && readOptimizer(optimizer, report),
    schedule: scheduled ? schedule : undefined,
  }
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, JsonObject] => entry[1] !== undefined),
  )
}

interface TrainHandlers {
  /** Epochs between validations; 0 for none. */
  every: number
  scheduled: boolean
  fromCheckpoint: boolean
}

type HandlerRow = (args: Args, found: TrainHandlers) => void

const trainHandlers: ReadonlyMap<string, HandlerRow> = new Map<string, HandlerRow>([
  [
    'ValidationHandler',
    (args, found) => {
      args.skip('validator')
      args.expect('epoch_level', [true], 'validation comes after whole epochs here')
      args.expect('exec_at_start', [false], 'validation comes after training epochs here')
      found.every = args.number(1, 'interval')
      args.say('taken', `train.validate.every = ${found.every}; also after the last epoch`)
    },
  ],
  [
    'LrScheduleHandler',
    (args, found) => {
      args.skip('lr_scheduler', 'print_lr', 'name')
      args.expect('epoch_level', [true], 'the rate changes from epoch to epoch here')
      args.expect('step_transform', [], 'the rate depends on the epoch alone here')
      found.scheduled = true
      args.say('taken', 'the schedule is stepped once per epoch')
    },
  ],
  [
    'CheckpointLoader',
    (args, found) => {
      args.skip('load_path', 'load_dict', 'map_location', 'strict', 'strict_shape', 'name')
      found.fromCheckpoint = true
      args.say('taken', 'train.json starts from the imported weights (network.weights); the optimiser starts anew')
    },
  ],
])

function readTrainHandlers(section: Section): TrainHandlers {
  const found: TrainHandlers = { every: 0, scheduled: false, fromCheckpoint: false }
  const others: Component[] = []
  for (const component of section.components('handlers')) {
    const row = rowOf(trainHandlers, component.name)
    if (!row) {
      others.push(component)
      continue
    }
    const args = new Args(component, section.report)
    row(args, found)
    args.done()
  }
  readHandlers(others, noEnding(), section.report)
  return found
}

function readTrainer(section: Section, handlers: TrainHandlers): { epochs: number } {
  const component = section.component('trainer')
  const { report } = section
  if (!component) {
    report.add(
      'refused',
      section.at('trainer'),
      'trainer',
      'there is none, so the number of epochs is not known; 1 stands in',
    )
    return { epochs: 1 }
  }
  const args = new Args(component, report)
  const epochs = args.number(1, 'max_epochs')
  if (component.name !== 'SupervisedTrainer') {
    args.reject(`not known here; the loop is that of a SupervisedTrainer, with ${epochs} epochs`)
    return { epochs }
  }
  args.skip('train_data_loader', 'network', 'optimizer', 'loss_function', 'inferer', 'train_handlers', 'postprocessing')
  args.skip('key_train_metric', 'additional_metrics', 'device', 'non_blocking', 'metric_cmp_fn')
  readAmp(args)
  const often = handlers.every > 0 ? `, validated every ${handlers.every}` : ''
  args.say('taken', `train.epochs = ${epochs}${often}`)
  args.done()
  return { epochs }
}
