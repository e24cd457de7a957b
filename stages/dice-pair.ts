/** A mask and its reference, read and brought to one grid so that they can be compared. */

import { defaultToleranceMm, gridDifference } from '../imaging/geometry-check.ts'
import { expectMask, labelMask, regridMask } from '../imaging/label-mask.ts'
import type { MaskMaking, OwnedMask } from '../imaging/mask.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Key, Mask, Prediction, Sample } from '../pipeline/flow.ts'
import type { Grid, Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import { pauseOf } from './pause.ts'

export interface PairOptions {
  readonly classes: number
  /** Whether a mask may lie on another grid than its reference. */
  readonly regrid: boolean
}

/** A mask and its reference on one grid. */
export interface Pair {
  readonly grid: Grid
  readonly prediction: Mask
  readonly reference: Mask
  readonly isMissing: boolean
  close(): void
}

/** As class indices below `options.classes`, the mask brought to the reference's grid where it may be; the caller closes them. */
export async function readPair(item: Prediction | Sample, options: PairOptions, context: Context): Promise<Pair> {
  const making: MaskMaking = { scratch: context.scratch, pause: pauseOf(context) }
  const owned: OwnedMask[] = []
  const close = (): void => owned.forEach(mask => mask.close())
  const own = async (mask: Promise<OwnedMask>): Promise<OwnedMask> => {
    owned.push(await mask)
    return mask
  }
  // Of a case's several files, the one at fault.
  const read = (volume: Volume, what: string): Promise<OwnedMask> =>
    own(labelMask(volume, options.classes, what, making))
  try {
    const found = 'mask' in item ? item : expectVolume(item.prediction, 'prediction')
    const label = expectVolume(item.label, 'label')
    const files = { mask: 'mask' in item ? undefined : item.case.prediction, reference: item.case.label }
    const isSame = isSameGrid(found.grid, label.grid, options, files)
    let prediction =
      'mask' in found
        ? await expectMask(found.mask, options.classes, 'the mask', making.pause)
        : await read(found, item.case.prediction ?? 'the mask')
    const reference = await read(label, item.case.label ?? 'the label')
    if (!isSame) prediction = await own(regridMask(prediction, found.grid, label.grid, making))
    return {
      grid: label.grid,
      prediction,
      reference,
      isMissing: !('mask' in item) && item.case.isMissing === true,
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/** ERR_DATASET where there is none. */
export function expectVolume<T>(volume: T | undefined, key: Key): T {
  if (volume) return volume
  throw new PipelineError(
    'ERR_DATASET',
    `expected a ${key} to compare with, found none; list one, or put "${key}" into the keys of "load"`,
  )
}

/** Whose grids are compared: a mask without a path is the network's. */
export interface Compared {
  readonly mask?: string | undefined
  readonly reference?: string | undefined
}

/** A mask turned or shifted against its reference would score, and mean nothing: ERR_GEOMETRY unless it may be regridded. */
export function isSameGrid(
  found: Grid,
  reference: Grid,
  { regrid }: Pick<PairOptions, 'regrid'>,
  files: Compared = {},
): boolean {
  const { isSameShape, farthestMm } = gridDifference(found, reference)
  if (isSameShape && farthestMm <= defaultToleranceMm) return true
  if (regrid) return false
  const advice =
    files.mask === undefined
      ? '. Masks of "infer" come back to the scan\'s own grid, so give the stages before it that turn, resample, crop or pad "keys": ["image"], or compare on theirs with "invert": false'
      : ''
  throw new PipelineError(
    'ERR_GEOMETRY',
    `${files.mask ?? 'the mask'} has ${found.shape.join(' x ')} voxels, ${files.reference ?? 'the reference'} ${reference.shape.join(' x ')}, with corners up to ${+farthestMm.toPrecision(4)} mm apart (allowed: ${defaultToleranceMm} mm); "regrid": true brings the mask to the reference's grid${advice}`,
    { found: found.shape, reference: reference.shape, farthestMm },
  )
}
