/** Random transforms: the stages "crop" and "augment". */

import { show } from '../../pipeline/problems.ts'
import type { Args } from './component.ts'
import { shown, type Chain } from './chain.ts'
import { sameJson, type Json } from './json.ts'
import { isImageOnly, volumes, type Row } from './row.ts'

/** Patches are cut and turned as image and label together. */
function imageAndLabel(args: Args): void {
  const keys = args.keys(volumes)
  if (!sameJson(keys.toSorted(), [...volumes]))
    args.refuse('keys', `expected image and label, found ${show(keys)}; both are changed alike here`)
}

export const cropByLabel: Row = (args, { chain }) => {
  args.skip('fg_indices_key', 'bg_indices_key')
  args.expect('allow_smaller', [false], 'a scan smaller than the crop is an error here; put SpatialPadd before')
  args.expect('label_key', ['label'], 'crops are centred by the label here')
  args.expect('image_key', ['image'], 'background is where the image is above the threshold here')
  imageAndLabel(args)
  const size = args.vector3('spatial_size')
  if (!size) return args.reject('expected a size as "spatial_size"')
  if (chain.crop) return args.reject('a second crop; one is taken')
  const hasImageKey = args.value('image_key') !== undefined
  chain.crop = {
    kind: 'crop',
    size,
    samples: args.number(1, 'num_samples'),
    positive: args.number(1, 'pos'),
    negative: args.number(1, 'neg'),
    // Without an image every voxel that is no lesion is background.
    imageThreshold: hasImageKey ? args.number(0, 'image_threshold') : -1e30,
  }
  if (hasImageKey) args.say('taken', shown(chain.crop))
  else args.say('replaced', `${shown(chain.crop)}: without image_key every voxel without lesion is background`)
}

const axes = ['x', 'y', 'z'] as const

export const randomFlip: Row = (args, { chain }) => {
  imageAndLabel(args)
  const probability = args.number(0.1, 'prob')
  const value = args.value('spatial_axis')
  const list: readonly Json[] = Array.isArray(value) ? value : [value ?? null]
  const axis = list.length === 1 && typeof list[0] === 'number' ? axes[list[0] < 0 ? list[0] + 3 : list[0]] : undefined
  if (!axis)
    return args.refuse(
      'spatial_axis',
      `expected one axis, found ${show(value ?? null)}; each axis is flipped on its own here`,
    )
  const { flip, rotate90 } = chain.augmentation
  if (flip && flip.probability !== probability)
    return args.refuse(
      'prob',
      `expected ${flip.probability} as for the other axes, found ${probability}; "augment" has one for all`,
    )
  if (flip?.axes.includes(axis)) return args.reject(`a second flip of ${axis}; one is taken`)
  chain.augmentation.flip = {
    probability,
    axes: axes.filter(candidate => candidate === axis || flip?.axes.includes(candidate)),
  }
  args.say('taken', `augment: flip along ${axis} with probability ${probability}${beforeCrop(chain)}`)
  // Of 1, 2 or 3 quarters at the same chance, a flip before makes the same patches at the same chance as one after.
  if (rotate90 && rotate90.maxTurns !== 3)
    args.say(
      'replaced',
      'it stands after the turn there, and before it here, which with max_k other than 3 is not the same',
    )
}

export const randomRotate90: Row = (args, { chain }) => {
  imageAndLabel(args)
  args.expect('spatial_axes', [0, 1, [0, 1]], 'turns are in the plane of x and y here')
  if (chain.augmentation.rotate90) return args.reject('a second turn; one is taken')
  chain.augmentation.rotate90 = { probability: args.number(0.1, 'prob'), maxTurns: args.number(3, 'max_k') }
  args.say('taken', `augment ${JSON.stringify({ rotate90: chain.augmentation.rotate90 })}${beforeCrop(chain)}`)
}

export const randomShift: Row = (args, { chain }) => {
  args.expect('safe', [false], 'nothing is limited after the shift here')
  args.expect('channel_wise', [false], 'images have one channel here')
  args.expect('factor_key', [], 'the offset is added as it is here')
  if (!isImageOnly(args)) return
  const value = args.value('offsets')
  const pair: readonly Json[] = Array.isArray(value)
    ? value
    : [typeof value === 'number' ? -value : null, value ?? null]
  const [low, high] = pair
  if (typeof low !== 'number' || typeof high !== 'number' || low !== -high)
    return args.refuse('offsets', `expected one number, or a pair (-o, o), found ${show(value ?? null)}`)
  if (chain.augmentation.shiftIntensity) return args.reject('a second shift; one is taken')
  chain.augmentation.shiftIntensity = { probability: args.number(0.1, 'prob'), offset: Math.abs(high) }
  args.say(
    'taken',
    `augment ${JSON.stringify({ shiftIntensity: chain.augmentation.shiftIntensity })}${beforeCrop(chain)}`,
  )
}

function beforeCrop(chain: Chain): string {
  return chain.crop ? '' : '; it stands before the crop there, and changes each patch on its own here'
}
