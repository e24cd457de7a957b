/** Recognising the published weights by the one filter of them that is public. */

import type { Tensors } from '../../pipeline/engine.ts'

/**
 * `convInit.conv.weight[0, 0]` of clara_pt_covid19_ct_lesion_segmentation, (x, y, z), to four decimals, as MONAI's test of
 * its download compares it.
 */
export const publishedFilter: readonly number[] = [
  -0.2115, 0.1082, -0.0473, -0.3426, 0.033, 0.1135, 0.1279, 0.263, -0.0583, -0.3658, -0.1473, 0.0115, -0.5454, -0.1289,
  -0.0549, 0.1689, 0.1759, 0.0398, -0.1277, -0.0788, 0.0314, 0.2606, -0.0354, 0.0755, 0.2388, 0.0492, 0.0173,
]

/** Half of the last decimal, and what float32 adds to it. */
const rounding = 0.5e-4 + 1e-6

/** Largest difference from the public filter; `undefined` where there is no such filter to compare. */
export function distanceFromPublished(tensors: Tensors): number | undefined {
  const filter = tensors.get('convInit.conv.weight')
  if (!filter || filter.data.length < publishedFilter.length) return undefined
  return Math.max(...publishedFilter.map((value, i) => Math.abs(value - filter.data[i]!)))
}

/** True where the first filter is the published one, as far as its decimals say. */
export function isPublished(tensors: Tensors): boolean {
  const distance = distanceFromPublished(tensors)
  return distance !== undefined && distance <= rounding
}
