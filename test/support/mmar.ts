/**
 * An MMAR's folder made from what is known of the published one: our own words, none of its files. A test changes what it is
 * about before the folder is written.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ImportedCheckpoint } from '../../interop/mmar/import.ts'
import { publishedFilter } from '../../interop/mmar/published.ts'
import { initialWeights } from '../../model/init.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import { publishedSegresnet, segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'

/** JSON that a test may change freely. */
// oxlint-disable-next-line no-explicit-any
export type Loose = any

/** Paths below the MMAR; objects are written as JSON, texts as they are, and `null` leaves a file out. */
export interface MmarFiles {
  [path: string]: Loose
}

const both = ['image', 'label']

function component(name: string, args?: object, attributes: object = {}): Loose {
  return { name, ...attributes, ...(args && { args }) }
}

/** The arguments of the published network, by the names of MONAI 0.5. */
export const publishedNetworkArgs = {
  spatial_dims: 3,
  init_filters: 8,
  in_channels: '{in_channels}',
  out_channels: '{out_classes}',
  dropout_prob: null,
  norm_name: 'group',
  num_groups: 8,
  use_conv_final: true,
  blocks_down: [1, 2, 2, 4],
  blocks_up: [1, 1, 1],
  upsample_mode: 'nontrainable',
}

const roi = ['{roi_x}', '{roi_y}', '{roi_z}']
const thirds = 'lambda x: np.ceil(x.astype(np.float16) / 3.0).astype(np.float16)'

function dataset(key: string): Loose {
  return {
    name: 'CacheDataset',
    data_list_file_path: '{DATASET_JSON}',
    data_file_base_dir: '{DATA_ROOT}',
    data_list_key: key,
    args: { cache_rate: '{cache_rate}', num_workers: 4 },
  }
}

function trainConfig(): Loose {
  return {
    epochs: 1260,
    in_channels: 1,
    out_classes: 2,
    num_interval_per_valid: 20,
    learning_rate: 1e-4,
    multi_gpu: false,
    amp: false,
    roi_x: 224,
    roi_y: 224,
    roi_z: 32,
    cache_rate: 1.0,
    determinism: { random_seed: 0 },
    cudnn_benchmark: false,
    dont_load_ckpt_model: true,
    train: {
      loss: component('DiceCELoss', { jaccard: false, to_onehot_y: true, softmax: true, squared_pred: true }),
      optimizer: component('Adam', { lr: '{learning_rate}' }),
      lr_scheduler: component('StepLR', { step_size: 5000, gamma: 0.1 }),
      model: component('SegResNet', publishedNetworkArgs),
      pre_transforms: [
        component('LoadImaged', { keys: both }),
        component('Lambdad', { keys: ['label'], func: thirds }),
        component('EnsureChannelFirstd', { keys: both }),
        component('Spacingd', {
          keys: both,
          pixdim: [0.8, 0.8, 5.0],
          mode: ['bilinear', 'nearest'],
          align_corners: [true, true],
        }),
        component('ScaleIntensityRanged', {
          keys: ['image'],
          a_min: -1000,
          a_max: 500,
          b_min: 0,
          b_max: 1,
          clip: true,
        }),
        component('CropForegroundd', { keys: both, source_key: 'image' }),
        component('SpatialPadd', { keys: both, spatial_size: roi, mode: ['minimum', 'constant'], method: 'symmetric' }),
        component('RandCropByPosNegLabeld', {
          keys: both,
          label_key: 'label',
          spatial_size: roi,
          pos: 1,
          neg: 1,
          num_samples: 2,
          image_key: 'image',
          image_threshold: 0,
        }),
        ...[0, 1, 2].map(axis => component('RandFlipd', { keys: both, prob: 0.1, spatial_axis: [axis] })),
        component('RandRotate90d', { keys: both, prob: 0.1, max_k: 3 }),
        component('RandShiftIntensityd', { keys: ['image'], offsets: 0.1, prob: 0.5 }),
        component('ToTensord', { keys: both }),
      ],
      dataset: dataset('training'),
      dataloader: component('DataLoader', { batch_size: 4, shuffle: true, num_workers: 4 }),
      inferer: component('SimpleInferer'),
      handlers: [
        component(
          'CheckpointLoader',
          { load_path: '{MMAR_CKPT}', load_dict: ['model'] },
          { disabled: '{dont_load_ckpt_model}' },
        ),
        component('LrScheduleHandler', { print_lr: true }),
        component('ValidationHandler', { epoch_level: true, interval: '{num_interval_per_valid}' }),
        component(
          'CheckpointSaver',
          { save_dir: '{MMAR_CKPT_DIR}', save_dict: ['model', 'train_conf'], save_final: true, save_interval: 400 },
          { rank: 0 },
        ),
        component('StatsHandler', { tag_name: 'train_loss', output_transform: "lambda x: x['loss']" }, { rank: 0 }),
        component(
          'TensorBoardStatsHandler',
          { log_dir: '{MMAR_CKPT_DIR}', tag_name: 'train_loss', output_transform: "lambda x: x['loss']" },
          { rank: 0 },
        ),
      ],
      post_transforms: [
        component('Activationsd', { keys: 'pred', softmax: true }),
        component('AsDiscreted', {
          keys: ['pred', 'label'],
          argmax: [true, false],
          to_onehot: true,
          n_classes: '{out_classes}',
        }),
      ],
      metrics: [accuracy('train_acc', true)],
      trainer: component('SupervisedTrainer', { max_epochs: '{epochs}', amp: '{amp}' }),
    },
    validate: {
      pre_transforms: [
        'LoadImaged',
        'Lambdad',
        'EnsureChannelFirstd',
        'Spacingd',
        'ScaleIntensityRanged',
        'CropForegroundd',
        'SpatialPadd',
        'ToTensord',
      ].map(ref => ({ ref })),
      dataset: dataset('validation'),
      dataloader: component('DataLoader', { batch_size: 1, shuffle: false, num_workers: 4 }),
      inferer: component('SlidingWindowInferer', { roi_size: roi, sw_batch_size: 2, overlap: 0.6 }),
      handlers: [
        component('StatsHandler', { output_transform: 'lambda x: None' }, { rank: 0 }),
        component(
          'TensorBoardStatsHandler',
          { log_dir: '{MMAR_CKPT_DIR}', output_transform: 'lambda x: None' },
          { rank: 0 },
        ),
        component(
          'CheckpointSaver',
          { save_dir: '{MMAR_CKPT_DIR}', save_dict: ['model', 'train_conf'], save_key_metric: true },
          { rank: 0 },
        ),
      ],
      post_transforms: [{ ref: 'Activationsd' }, { ref: 'AsDiscreted' }],
      metrics: [
        component(
          'MeanDice',
          { include_background: false, output_transform: "lambda x: (x['pred'], x['label'])" },
          { log_label: 'val_mean_dice', is_key_metric: true },
        ),
        accuracy('val_acc', false),
      ],
      evaluator: component('SupervisedEvaluator', { amp: '{amp}' }),
    },
  }
}

function accuracy(label: string, isKey: boolean): Loose {
  return component(
    'Accuracy',
    { output_transform: "lambda x: (x['pred'], x['label'])" },
    { log_label: label, is_key_metric: isKey },
  )
}

/** Validation or inference on their own. */
function evaluationConfig(task: 'validation' | 'inference'): Loose {
  const isValidation = task === 'validation'
  const loaded = isValidation ? both : ['image']
  return {
    multi_gpu: false,
    amp: !isValidation,
    model: [{ ts_path: '{MMAR_TORCHSCRIPT}' }],
    pre_transforms: [
      ...(isValidation ? [] : [component('DeleteItemsd', { keys: 'label' })]),
      component('LoadImaged', { keys: loaded }),
      ...(isValidation ? [component('Lambdad', { keys: 'label', func: thirds })] : []),
      component('EnsureChannelFirstd', { keys: loaded }),
      component('Spacingd', { keys: 'image', pixdim: [0.8, 0.8, 5.0], mode: 'bilinear', align_corners: true }),
      component('ScaleIntensityRanged', { keys: 'image', a_min: -1000, a_max: 500, b_min: 0, b_max: 1, clip: true }),
      component('CropForegroundd', { keys: 'image', source_key: 'image' }),
      component('ToTensord', { keys: loaded }),
    ],
    dataset: component(
      'Dataset',
      {},
      { data_list_file_path: '{DATASET_JSON}', data_file_base_dir: '{DATA_ROOT}', data_list_key: 'testing' },
    ),
    dataloader: component('DataLoader', { batch_size: 1, shuffle: false, num_workers: 4 }),
    inferer: component('SlidingWindowInferer', { roi_size: [224, 224, 32], sw_batch_size: 4, overlap: 0.6 }),
    handlers: [
      component('StatsHandler', { output_transform: 'lambda x: None' }, { rank: 0 }),
      component('TransformInverter', {
        output_keys: ['pred'],
        batch_keys: 'image',
        postfix: 'inverted',
        nearest_interp: false,
      }),
      component('SegmentationSaver', {
        output_dir: '{MMAR_EVAL_OUTPUT_PATH}',
        resample: false,
        batch_transform: "lambda x: x['image_meta_dict']",
        output_transform: "lambda x: x['pred_inverted']",
      }),
      ...(isValidation
        ? [
            component('MetricsSaver', {
              save_dir: '{MMAR_EVAL_OUTPUT_PATH}',
              metrics: '*',
              metric_details: ['val_mean_dice'],
              summary_ops: '*',
              batch_transform: "lambda x: x['image_meta_dict']",
            }),
          ]
        : []),
    ],
    post_transforms: [component('Activationsd', { keys: 'pred', softmax: true })],
    ...(isValidation && {
      metrics: [
        component(
          'MeanDice',
          { include_background: false, output_transform: "lambda x: (x['pred_inverted'], x['label'])" },
          { log_label: 'val_mean_dice', is_key_metric: true },
        ),
      ],
    }),
    evaluator: component('SupervisedEvaluator', { amp: '{amp}' }),
  }
}

/** A training script that overrides values. */
function script(config: string, sets: readonly string[]): string {
  return [
    '#!/usr/bin/env bash',
    'my_dir="$(dirname "$0")"',
    '. $my_dir/set_env.sh',
    'additional_options="$*"',
    '# --set epochs=7 would be a comment',
    `CONFIG_FILE=config/${config}`,
    'python3 -u -m medl.apps.train \\',
    '    -m $MMAR_ROOT \\',
    '    -c $CONFIG_FILE \\',
    '    --write_train_stats \\',
    '    --set \\',
    ...['print_conf=True', ...sets].map(set => `    ${set} \\`),
    '    ${additional_options}',
    '',
  ].join('\n')
}

function cases(section: string, count: number): object[] {
  return Array.from({ length: count }, (_, i) => ({
    image: `Image_1/${section}-${i}.nii.gz`,
    label: `Annotation_1/${section}-${i}.nii.gz`,
  }))
}

/** The whole folder. */
export function mmarFiles(): MmarFiles {
  // Parts that stand in several places must not change together.
  return structuredClone({
    'config/config_train.json': trainConfig(),
    'config/config_validation.json': evaluationConfig('validation'),
    'config/config_inference.json': evaluationConfig('inference'),
    'config/environment.json': {
      DATA_ROOT: '/workspace/data_covid',
      DATASET_JSON: 'config/dataset_0.json',
      PROCESSING_TASK: 'segmentation',
      MMAR_EVAL_OUTPUT_PATH: 'eval',
      MMAR_CKPT_DIR: 'models',
      MMAR_CKPT: 'models/model.pt',
      MMAR_TORCHSCRIPT: 'models/model.ts',
    },
    'config/dataset_0.json': {
      name: 'COVID',
      modality: 'CT',
      tensorImageSize: '3D',
      labels: { '0': 'background', '1': 'lesion' },
      numTraining: 7,
      training: cases('training', 7),
      validation: cases('validation', 3),
      testing: cases('testing', 2),
    },
    'commands/train_multi_gpu.sh': script('config_train.json', [
      'epochs=2000',
      'learning_rate=0.001',
      'num_interval_per_valid=10',
      'multi_gpu=True',
      'dont_load_ckpt_model=True',
    ]),
    'commands/train.sh': script('config_train.json', ['learning_rate=0.0002', 'dont_load_ckpt_model=True']),
    'commands/finetune.sh': script('config_train.json', ['learning_rate=0.0002', 'dont_load_ckpt_model=False']),
    'commands/validate.sh': script('config_validation.json', ['dont_load_ts_model=False']),
    'models/model.pt': 'not read by these tests\n',
  })
}

/** Writes the folder after `edit` has changed it; gives its path. */
export function writeMmar(root: string, edit: (files: MmarFiles) => void = () => {}): string {
  const files = mmarFiles()
  edit(files)
  for (const [name, content] of Object.entries(files)) {
    if (content === null) continue
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  }
  return root
}

/** A transform or handler of a list, by its class. */
export function find(list: Loose[], name: string): Loose {
  const found = list.find(item => item.name === name)
  if (!found) throw new Error(`the made MMAR has no ${name}`)
  return found
}

export interface CheckpointOptions {
  readonly network?: SegresnetOptions
  /** The first filter is the published one. */
  readonly published?: boolean
  readonly trainConf?: unknown
}

const drawn = new Map<string, Tensors>()

/** Drawn once for each network. */
function weightsOf(network: SegresnetOptions): Tensors {
  const key = JSON.stringify(network)
  const weights = drawn.get(key) ?? initialWeights(segresnetParameters(network), 3)
  drawn.set(key, weights)
  return weights
}

/** A reader that gives fresh weights of a network, whatever the file. */
export function checkpointReader({
  network = publishedSegresnet,
  published = false,
  trainConf,
}: CheckpointOptions = {}): (path: string) => Promise<ImportedCheckpoint> {
  return async () => {
    const tensors = new Map(weightsOf(network))
    if (published) {
      const { shape, data } = tensors.get('convInit.conv.weight')!
      const filter = data.slice()
      // As far from the rounded figures as the real ones may be.
      publishedFilter.forEach((value, i) => (filter[i] = value + (i % 2 === 0 ? 4.9e-5 : -4.9e-5)))
      tensors.set('convInit.conv.weight', { shape, data: filter })
    }
    return { tensors, notes: [], ...(trainConf !== undefined && { trainConf }) }
  }
}
