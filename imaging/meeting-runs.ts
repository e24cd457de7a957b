/** Where runs of one plane meet those of another: what two masks have in common, without their voxels. */

import type { PlaneRuns } from '../pipeline/flow.ts'

/** Tells of each two runs, by their positions, that share voxels, whatever their classes, and how many; ascending. */
export function eachMeeting(
  a: PlaneRuns,
  b: PlaneRuns,
  found: (inA: number, inB: number, voxels: number) => void,
): void {
  const { from: aFrom, to: aTo } = a
  const { from: bFrom, to: bTo } = b
  for (let i = 0, j = 0; i < aFrom.length && j < bFrom.length;) {
    const voxels = Math.min(aTo[i]!, bTo[j]!) - Math.max(aFrom[i]!, bFrom[j]!)
    if (voxels > 0) found(i, j, voxels)
    if (aTo[i]! <= bTo[j]!) i++
    else j++
  }
}
