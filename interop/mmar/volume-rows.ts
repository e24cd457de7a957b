/** Transforms of whole volumes, each drawn by no chance: the stages from "load" to "pad". */

import { show } from '../../pipeline/problems.ts'
import type { Args } from './component.ts'
import { shown, type StageValue } from './chain.ts'
import { sameJson, type Json } from './json.ts'
import { namedOperation } from './lambdas.ts'
import { isImageOnly, volumes, type Row, type TransformContext } from './row.ts'

/** Adds a stage on volumes and says so. After the crop there are only patches, which such a stage cannot work on. */
function volumeStage(args: Args, { chain }: TransformContext, stage: StageValue, note = ''): void {
  if (chain.crop) {
    args.reject(`"${stage.kind}" works on whole volumes, but stands after the crop here; move it before the crop`)
    return
  }
  // None of its keys is a volume, which is reported already.
  if (Array.isArray(stage['keys']) && stage['keys'].length === 0) return
  chain.add(stage)
  args.say('taken', `${shown(stage)}${note}`)
}
/** The keys that are volumes of a case; others are reported. */
function volumeKeys(args: Args, fallback: readonly string[] = volumes): string[] {
  const keys = args.keys(fallback)
  const strange = keys.filter(key => !volumes.includes(key as 'image'))
  if (strange.length > 0) args.refuse('keys', `expected image and label, found ${strange.map(show).join(', ')}`)
  return keys.filter(key => volumes.includes(key as 'image'))
}
export const load: Row = (args, context) => {
  args.skip(
    'reader',
    'image_only',
    'overwriting',
    'as_closest_canonical',
    'simple_keys',
    'prune_meta_pattern',
    'prune_meta_sep',
  )
  args.expect('dtype', ['float32', 'np.float32', 'numpy.float32'], 'voxels are float32 here')
  const withChannel = args.boolean(false, 'ensure_channel_first')
  const keys = volumeKeys(args)
  volumeStage(args, context, { kind: 'load', keys }, keys.length > 1 ? '; image and label must share a grid' : '')
  if (withChannel) context.chain.add({ kind: 'channel-first', keys })
}

export const channelFirst: Row = (args, context) => {
  args.skip('strict_check', 'channel_dim')
  const keys = volumeKeys(args)
  volumeStage(args, context, { kind: 'channel-first', ...(!sameJson(keys, [...volumes]) && { keys }) })
}

export const lambda: Row = (args, context) => {
  args.expect('inv_func', [], 'an inverse is not needed, labels are not brought back')
  args.skip('overwrite', 'track_meta')
  const keys = args.keys([])
  const text = args.value('func')
  if (typeof text !== 'string') {
    args.reject(`expected the text of a lambda as "func", found ${show(text ?? null)}`)
    return
  }
  const operation = sameJson(keys, ['label']) ? namedOperation('label', text) : undefined
  if (!operation) {
    args.report.add(
      'refused',
      args.component.at,
      `${args.component.name}(${keys.join(', ')}): ${text}`,
      'this expression is not known, and nothing is evaluated; add the stage that does the same by hand (map-label for labels)',
    )
    return
  }
  if (operation.mapLabel) {
    if (context.chain.crop) return args.reject('map-label works on whole volumes, but stands after the crop here')
    context.chain.add({ kind: 'map-label', ...operation.mapLabel, classes: context.classes })
  }
  args.report.add(
    'replaced',
    args.component.at,
    text,
    `${operation.name}${operation.mapLabel ? `; a value that would give a class above ${context.classes - 1} is an error` : ''}`,
  )
}

function isNumbers(value: Json | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every(item => typeof item === 'number')
}

export const mapLabelValue: Row = (args, context) => {
  args.skip('dtype')
  const keys = args.keys(['label'])
  const [from, to] = [args.value('orig_labels'), args.value('target_labels')]
  if (!isNumbers(from) || !isNumbers(to) || from.length !== to.length || !sameJson(keys, ['label']))
    return args.reject("expected the label's values as two lists of numbers of one length")
  const map = Object.fromEntries(from.map((value, i) => [String(value), to[i]!]))
  volumeStage(
    args,
    context,
    { kind: 'map-label', map, classes: context.classes },
    '; other values are an error, where MONAI leaves them',
  )
}

export const spacing: Row = (args, context) => {
  args.expect('diagonal', [false], 'the axes of the scan are kept here')
  args.expect('padding_mode', ['border'], 'beyond the last voxel its value is taken here')
  args.expect('recompute_affine', [false], 'the affine is the exact one here')
  args.expect('scale_extent', [false], 'the first voxels keep their place here')
  args.expect('min_pixdim', [], 'every volume goes to the one spacing here')
  args.expect('max_pixdim', [], 'every volume goes to the one spacing here')
  args.skip('dtype', 'ensure_same_shape')
  const keys = volumeKeys(args)
  const modes = args.perKey(keys, 'mode', 'bilinear')
  for (const [key, mode] of modes) {
    const expected = key === 'image' ? 'bilinear' : 'nearest'
    if (mode !== expected)
      args.refuse('mode', `expected ${expected} for the ${key}, found ${show(mode)}; ${expected} it is`)
  }
  const corners = args.value('align_corners')
  const pixdim = args.vector3('pixdim')
  if (!pixdim) return args.reject('expected a spacing as "pixdim"')
  volumeStage(args, context, { kind: 'resample', spacing: pixdim.map(mm => Math.max(0, mm)), ...keysUnless(keys) })
  if (corners === true || (Array.isArray(corners) && corners.includes(true)))
    args.report.add(
      'replaced',
      args.component.at,
      `${args.component.name}.align_corners=${show(corners)}`,
      'the physical mapping, which is what MONAI up to 1.1 computes with it, and newer ones with false; MONAI 1.2 and later stretch the grid by it',
    )
}

/** The keys, where they are not what the stage has by default. */
function keysUnless(keys: readonly string[]): { keys?: readonly string[] } {
  return sameJson(keys, [...volumes]) ? {} : { keys }
}

export const orientation: Row = (args, context) => {
  args.skip('labels')
  const canonical = args.boolean(false, 'as_closest_canonical')
  const axcodes = canonical ? 'RAS' : args.string('', 'axcodes')
  if (axcodes === '') return args.reject('expected "axcodes", such as "RAS"')
  volumeStage(args, context, { kind: 'orient', axcodes: axcodes.toUpperCase(), keys: volumeKeys(args) })
}

export const scaleIntensityRange: Row = (args, context) => {
  args.skip('dtype')
  if (!isImageOnly(args)) return
  const min = args.number(Number.NaN, 'a_min')
  const max = args.number(Number.NaN, 'a_max')
  if (Number.isNaN(min) || Number.isNaN(max)) return args.reject('expected numbers as "a_min" and "a_max"')
  const to = [args.number(0, 'b_min'), args.number(1, 'b_max')]
  if (!args.boolean(false, 'clip')) args.refuse('clip', 'found false; intensities beyond the range are limited here')
  volumeStage(args, context, { kind: 'clip', min, max, to })
}

export const cropForeground: Row = (args, context) => {
  args.skip('start_coord_key', 'end_coord_key', 'allow_smaller', 'mode')
  args.expect('channel_indices', [], 'volumes have one channel here')
  args.expect('k_divisible', [1], 'the box is kept as it is here')
  const source = args.string('image', 'source_key')
  const margin = args.value('margin') ?? 0
  const margins: readonly Json[] = Array.isArray(margin) ? margin : [margin]
  if (!margins.every(value => typeof value === 'number' && value === margins[0]))
    args.refuse('margin', `expected one margin for all axes, found ${show(margin)}`)
  const select = args.value('select_fn')
  let threshold = 0
  if (select !== undefined) {
    const operation = typeof select === 'string' ? namedOperation('foreground', select) : undefined
    if (!operation) return args.reject(`select_fn ${show(select)} is not known, and nothing is evaluated`)
    threshold = operation.threshold!
    args.report.add('replaced', args.component.at, String(select), operation.name)
  }
  volumeStage(args, context, {
    kind: 'crop-foreground',
    source,
    ...(threshold !== 0 && { threshold }),
    ...(typeof margins[0] === 'number' && margins[0] > 0 && { margin: margins[0] }),
    ...keysUnless(volumeKeys(args)),
  })
}

/** How MONAI's names of padding modes are called here. */
const paddings: Readonly<Record<string, string>> = {
  constant: 'constant',
  minimum: 'minimum',
  edge: 'edge',
  replicate: 'edge',
}

export const spatialPad: Row = (args, context) => {
  args.expect('value', [0], 'zeros are added here')
  args.expect('constant_values', [0], 'zeros are added here')
  const size = args.vector3('spatial_size')
  if (!size) return args.reject('expected a size as "spatial_size"')
  const keys = volumeKeys(args)
  const modes: Record<string, string> = {}
  for (const [key, mode] of args.perKey(keys, 'mode', 'constant')) {
    const name = typeof mode === 'string' ? mode.toLowerCase() : ''
    if (Object.hasOwn(paddings, name)) modes[key] = paddings[name]!
    else args.refuse('mode', `expected one of ${Object.keys(paddings).join(', ')}, found ${show(mode)}`)
  }
  volumeStage(args, context, {
    kind: 'pad',
    // 0 and below keep the axis as it is, which a least extent of 1 does.
    size: size.map(extent => Math.max(1, extent)),
    ...modes,
    method: args.string('symmetric', 'method').toLowerCase(),
    ...keysUnless(keys),
  })
}
