/** Sliding windows, post-processing, inversion and saving: what the stages "infer" and "save" stand for. */

import { show } from '../../pipeline/problems.ts'
import { Args, described, nearestClass, rowOf, type Component } from './component.ts'
import type { Json, JsonObject } from './json.ts'
import { namedOperation } from './lambdas.ts'
import type { Report } from './report.ts'

/** Options of windows as `train.validate` and `infer` have them; defaults of MONAI where it gives none. */
export function readInferer(component: Component | undefined, report: Report): JsonObject | undefined {
  if (!component) return undefined
  const args = new Args(component, report)
  if (component.name !== 'SlidingWindowInferer') {
    args.reject(
      'whole volumes do not go through the network at once here; sliding windows with their defaults stand in',
    )
    return undefined
  }
  args.skip('sw_device', 'device', 'progress', 'cache_roi_weight_map', 'cpu_thresh', 'buffer_steps', 'buffer_dim')
  args.expect('padding_mode', ['constant', 'PytorchPadMode.CONSTANT'], 'small scans are filled up with 0 here')
  args.expect('cval', [0], 'small scans are filled up with 0 here')
  const size = args.vector3('roi_size')
  if (!size) {
    args.reject('expected a size as "roi_size"; the default window stands in')
    return undefined
  }
  const blend = args.string('constant', 'mode').toLowerCase().replace('blendmode.', '')
  const options: JsonObject = {
    // Nothing above 0 is the image's own extent there; here that is 0.
    window: size.map(extent => Math.max(0, extent)),
    overlap: perAxis(args, 'overlap', 0.25),
    blend,
    ...(blend === 'gaussian' && { sigma: oneNumber(args, 'sigma_scale', 0.125) }),
    windowBatch: args.number(1, 'sw_batch_size'),
  }
  if (blend !== 'gaussian') args.skip('sigma_scale')
  args.done()
  report.add('taken', component.at, described(component), JSON.stringify(options))
  return options
}

/** A number for all axes, or a list of three; a list of equal ones is one number. */
function perAxis(args: Args, name: string, fallback: number): number | readonly number[] {
  const value = args.value(name)
  const numbers = Array.isArray(value) && value.length === 3 && value.every(item => typeof item === 'number')
  if (!numbers || value.every(item => item === value[0])) return oneNumber(args, name, fallback)
  return value as readonly number[]
}

/** A number, or a list of equal ones. */
function oneNumber(args: Args, name: string, fallback: number): number {
  const value = args.value(name)
  if (!Array.isArray(value)) return args.number(fallback, name)
  const [first] = value as readonly Json[]
  if (typeof first === 'number' && value.every(item => item === first)) return first
  args.refuse(name, `expected one number for all axes, found ${show(value)}`)
  return typeof first === 'number' ? first : fallback
}

/** What the components after the network ask for. */
export interface Ending {
  /** Masks are brought back to the scan's grid. */
  invert: boolean
  /** Masks are written. */
  save: boolean
  /** The arg-max has been taken. */
  decided: boolean
}

type Row = (args: Args, ending: Ending) => void

const nothing =
  (why: string): Row =>
  args => {
    args.say('unneeded', why)
    for (const name of ['output_transform', 'batch_transform', 'global_epoch_transform']) readCode(args, name)
    args.skip(...Object.keys(args.component.args))
  }

const refuse =
  (why: string): Row =>
  args => {
    args.reject(why)
  }

/** Python that picks from what the network gave: known, or refused by name. */
export function readCode(args: Args, name: string): readonly string[] | undefined {
  const text = args.value(name)
  if (text === undefined || typeof text !== 'string') return undefined
  const operation = namedOperation('output', text)
  if (operation) {
    args.report.add('replaced', args.component.at, `${args.component.name}.${name}: ${text}`, operation.name)
    return operation.picks
  }
  args.refuse(name, `${text}: this expression is not known, and nothing is evaluated`)
  return undefined
}

const invert: Row = (args, ending) => {
  args.skip('keys', 'transform', 'orig_keys', 'orig_meta_keys', 'meta_keys', 'meta_key_postfix', 'to_tensor', 'device')
  args.skip('output_keys', 'batch_keys', 'loader', 'collate_fn', 'postfix', 'num_workers')
  args.expect('post_func', [], 'nothing is computed after the inversion here')
  if (args.boolean(true, 'nearest_interp'))
    args.refuse('nearest_interp', 'true; probabilities are brought back linearly here and arg-maxed afterwards')
  ending.invert = true
  if (ending.decided) {
    args.reject('masks are inverted after the arg-max there, by nearest; probabilities are brought back linearly here')
    return
  }
  args.say('taken', 'infer {"invert": true}: probabilities are brought back to the scan\'s own grid, then arg-maxed')
}

const save: Row = (args, ending) => {
  args.skip(
    ...Object.keys(args.component.args).filter(
      name => !/^(output_transform|batch_transform|resample|scale)$/.test(name),
    ),
  )
  for (const name of ['output_transform', 'batch_transform']) readCode(args, name)
  args.expect('scale', [], 'masks hold class indices here')
  if (args.boolean(false, 'resample') && !ending.invert) {
    ending.invert = true
    args.say(
      'replaced',
      "resample=true: infer brings the probabilities back to the scan's own grid, linearly, then takes the arg-max",
    )
  }
  ending.save = true
  args.say('replaced', "save: masks/<case>.nii.gz below the output folder, class indices with the scan's own header")
}

const activations: Row = args => {
  args.skip('keys')
  args.expect('sigmoid', [false], 'classes exclude each other here (soft-max)')
  args.expect('other', [], 'the activation is soft-max here')
  args.boolean(false, 'softmax')
  args.say('taken', 'infer: soft-max of the blended logits')
}

const discrete: Row = (args, ending) => {
  args.skip('keys', 'to_onehot', 'n_classes', 'num_classes')
  const argmax = args.value('argmax')
  ending.decided ||= argmax === true || (Array.isArray(argmax) && argmax.includes(true))
  args.expect('threshold_values', [false], 'the largest probability decides here')
  args.expect('threshold', [], 'the largest probability decides here')
  args.expect('logit_thresh', [0.5], 'the largest probability decides here')
  args.expect('rounding', [], 'the largest probability decides here')
  args.say('taken', 'infer: arg-max over the classes')
}

const posts: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['Activations', activations],
  ['AsDiscrete', discrete],
  ['Invert', invert],
  ['SaveImage', save],
  ['ToTensor', nothing('arrays go to and from the engine by themselves')],
  ['EnsureType', nothing('arrays go to and from the engine by themselves')],
  ['ToNumpy', nothing('arrays go to and from the engine by themselves')],
  ['CopyItems', nothing('nothing is changed in place here')],
  ['DeleteItems', nothing('nothing is kept that is not needed')],
  ['KeepLargestConnectedComponent', refuse('no stage after infer chooses components')],
  ['FillHoles', refuse('no stage after infer fills holes')],
  ['RemoveSmallObjects', refuse('no stage after infer removes small objects')],
  ['LabelFilter', refuse('no stage after infer filters labels')],
])

const handlers: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['TransformInverter', invert],
  ['SegmentationSaver', save],
  ['StatsHandler', nothing('progress is shown in any case')],
  ['TensorBoardStatsHandler', nothing('metrics.jsonl and steps.jsonl hold the values')],
  ['TensorBoardImageHandler', nothing('no pictures are logged')],
  ['MetricsSaver', nothing('metrics.jsonl and summary.json hold the values')],
  ['GarbageCollector', nothing('memory is bounded by "memory"')],
  ['CheckpointSaver', nothing('best.safetensors and last.safetensors are kept in any case')],
  ['CheckpointLoader', nothing('the weights are those of "network"')],
])

function readAll(
  table: ReadonlyMap<string, Row>,
  components: readonly Component[],
  ending: Ending,
  report: Report,
): void {
  for (const component of components) {
    const args = new Args(component, report)
    const row = rowOf(table, component.name)
    if (!row) args.reject(`nothing here does this${nearestClass(component.name, table)}`)
    else {
      row(args, ending)
      args.done()
    }
  }
}

/** Post-processing of masks that are written or scored on their own. */
export function readPostTransforms(components: readonly Component[], ending: Ending, report: Report): void {
  readAll(posts, components, ending, report)
}

/** Handlers of an evaluator. */
export function readHandlers(components: readonly Component[], ending: Ending, report: Report): void {
  readAll(handlers, components, ending, report)
}

/** Post-processing that only prepares what a metric compares. */
export function readMetricTransforms(components: readonly Component[], report: Report): void {
  readAll(posts, components, noEnding(), report)
}

export function noEnding(): Ending {
  return { invert: false, save: false, decided: false }
}
