/** MONAI's transforms, one row each: the stage that stands for it, or why there is none. */

import { Args, described, nearestClass, rowOf, type Component } from './component.ts'
import { cropByLabel, randomFlip, randomRotate90, randomShift } from './patch-rows.ts'
import type { Report } from './report.ts'
import type { Row, TransformContext } from './row.ts'
import {
  load,
  channelFirst,
  lambda,
  mapLabelValue,
  spacing,
  orientation,
  scaleIntensityRange,
  cropForeground,
  spatialPad,
} from './volume-rows.ts'

/** Reads a list of transforms into the chain; every one of them, and every argument, leaves its line in the report. */
export function readTransforms(components: readonly Component[], context: TransformContext, report: Report): void {
  for (const component of components) {
    const row = rowOf(transforms, component.name)
    if (!row) {
      report.add(
        'refused',
        component.at,
        described(component),
        `no stage does this${nearestClass(component.name, transforms)}`,
      )
      continue
    }
    const args = new Args(component, report)
    args.skip('allow_missing_keys', 'meta_keys', 'meta_key_postfix', 'lazy')
    row(args, context)
    args.done()
  }
}
const nothing =
  (why: string): Row =>
  args => {
    args.say('unneeded', why)
    args.skip(...Object.keys(args.component.args))
  }

const impossible =
  (why: string): Row =>
  args => {
    args.reject(why)
  }
const selectItems: Row = args => {
  const keys = args.keys([])
  args.say('unneeded', `what is not loaded need not be removed (${keys.join(', ')})`)
}
/** By the names of MONAI's array transforms; `rowOf` knows the suffixes of those for dictionaries. */
export const transforms: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['LoadImage', load],
  ['LoadNifti', load],
  ['EnsureChannelFirst', channelFirst],
  ['AddChannel', channelFirst],
  ['AsChannelFirst', channelFirst],
  ['Lambda', lambda],
  ['MapLabelValue', mapLabelValue],
  ['Spacing', spacing],
  ['Orientation', orientation],
  ['ScaleIntensityRange', scaleIntensityRange],
  ['CropForeground', cropForeground],
  ['SpatialPad', spatialPad],
  ['RandCropByPosNegLabel', cropByLabel],
  ['RandFlip', randomFlip],
  ['RandRotate90', randomRotate90],
  ['RandShiftIntensity', randomShift],
  ['ToTensor', nothing('arrays go to the engine by themselves')],
  ['EnsureType', nothing('arrays go to the engine by themselves')],
  ['ToNumpy', nothing('arrays go to the engine by themselves')],
  ['CastToType', nothing('images are float32 and labels class indices here')],
  ['Identity', nothing('it changes nothing')],
  ['DeleteItems', selectItems],
  ['SelectItems', selectItems],
  [
    'ConvertToChannelsFirst',
    impossible('this is Clara Train 3 (TensorFlow); only PyTorch MMARs, Clara Train 4, are read'),
  ],
  ['RandSpatialCrop', impossible('crops are centred on lesion and background here: use RandCropByPosNegLabeld')],
  ['RandCropByLabelClasses', impossible('crops are centred on lesion and background here: use RandCropByPosNegLabeld')],
  ['RandZoom', impossible('no stage zooms')],
  ['RandAffine', impossible('no stage turns by free angles')],
  ['RandRotate', impossible('no stage turns by free angles; quarter turns are RandRotate90d')],
  ['RandGaussianNoise', impossible('no stage adds noise')],
  ['RandGaussianSmooth', impossible('no stage smooths')],
  ['RandAdjustContrast', impossible('no stage changes the contrast')],
  ['RandScaleIntensity', impossible('no stage scales intensities at random')],
  ['RandAxisFlip', impossible('each axis is flipped on its own here: use RandFlipd')],
  ['NormalizeIntensity', impossible('no stage normalises by mean and deviation; "clip" takes a range of HU')],
  ['ScaleIntensity', impossible('no stage scales by a volume\'s own range; "clip" takes a range of HU')],
  ['ThresholdIntensity', impossible('no stage replaces intensities; "clip" limits them')],
  ['Resize', impossible('no stage resizes to a shape; "resample" goes to a spacing')],
  ['DivisiblePad', impossible('"pad" goes to a size')],
  ['ConcatItems', impossible('images have one channel here')],
])
