/** How much of a lesion lies in which lung. */

import type { Affine } from '../imaging/affine.ts'
import { lungClass } from '../imaging/lungs.ts'
import type { Mask } from '../pipeline/flow.ts'
import { voxelMlOf } from './lesions.ts'

/** Voxels by class of the lungs: outside, right, left. */
export interface LungLesions {
  readonly lungs: readonly [outside: number, right: number, left: number]
  /** Of lesions of any class. */
  readonly lesions: readonly [outside: number, right: number, left: number]
}

/** Counts the voxels of two masks of one shape, plane by plane. */
export async function lesionsByLung(lesions: Mask, sides: Mask, pause: () => Promise<void>): Promise<LungLesions> {
  const [inLungs, inLesions]: [number, number, number][] = [
    [0, 0, 0],
    [0, 0, 0],
  ]
  for (let z = 0; z < lesions.shape[2]; z++) {
    const side = sides.plane(z)
    for (const value of side) inLungs![value as 0 | 1 | 2]++
    const { from, to } = lesions.runs(z)
    for (let i = 0; i < from.length; i++) for (let at = from[i]!; at < to[i]!; at++) inLesions![side[at] as 0 | 1 | 2]++
    await pause()
  }
  return { lungs: inLungs!, lesions: inLesions! }
}

/** The same in ml, with the share of each lung that is lesion; null where there is no such lung. */
export function describeLungs({ lungs, lesions }: LungLesions, affine: Affine): object {
  const ml = voxelMlOf(affine)
  const side = (class_: 1 | 2): object => ({
    lungMl: lungs[class_] * ml,
    lesionMl: lesions[class_] * ml,
    lesionShare: lungs[class_] === 0 ? null : lesions[class_] / lungs[class_],
  })
  return {
    right: side(lungClass.right),
    left: side(lungClass.left),
    outside: { lesionMl: lesions[lungClass.outside] * ml },
  }
}
