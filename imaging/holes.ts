/** Filling holes: whatever a class encloses becomes that class, as MONAI's FillHoles. */

import type { Mask, PlaneRuns } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { ComponentMarks, type MarkOptions } from './component-marks.ts'
import { maskOfPlanes, type OwnedMask } from './mask.ts'

const outside = 0
const hole = 1

/**
 * A new mask in which the holes of class `value` are filled; `undefined` where there are none. Holes are components of voxels
 * of any other class that do not reach a face of the volume, so that other classes inside are overwritten, and what lies
 * between two classes is no hole of either.
 */
export async function fillHoles(
  mask: Mask,
  value: number,
  options: Omit<MarkOptions, 'mark'>,
): Promise<OwnedMask | undefined> {
  const { shape } = mask
  let found = false
  const rest = (z: number): PlaneRuns => complement(mask.runs(z), value, shape)
  const marks = await ComponentMarks.of(shape, rest, {
    ...options,
    mark({ isOnBorder }) {
      if (isOnBorder) return outside
      found = true
      return hole
    },
  })
  function* filled(): Generator<Uint8Array> {
    let z = 0
    for (const given of marks.planes()) {
      const plane = mask.plane(z)
      if (given.includes(hole)) {
        const { from, to } = rest(z)
        given.forEach((mark, i) => mark === hole && plane.fill(value, from[i], to[i]))
      }
      z++
      yield plane
    }
  }
  try {
    return found ? await maskOfPlanes(shape, filled(), options) : undefined
  } finally {
    marks.close()
  }
}

/** Most runs of a plane that are not of one class: those between its runs, and what is left of each row. */
export function mostComplementRuns([nx, ny]: Shape3): number {
  return (Math.floor(nx / 2) + 1) * ny
}

/** The voxels of a plane that are not of class `value`, as runs of class 1. */
function complement({ from, to, value: values }: PlaneRuns, value: number, [nx, ny]: Shape3): PlaneRuns {
  const most = ny + values.reduce((count, each) => count + (each === value ? 1 : 0), 0)
  const [starts, ends] = [new Uint32Array(most), new Uint32Array(most)]
  let count = 0
  const add = (start: number, end: number): void => {
    if (start === end) return
    starts[count] = start
    ends[count++] = end
  }
  let i = 0
  for (let y = 0; y < ny; y++) {
    let at = y * nx
    const rowEnd = at + nx
    for (; i < from.length && from[i]! < rowEnd; i++) {
      if (values[i] !== value) continue
      add(at, from[i]!)
      at = to[i]!
    }
    add(at, rowEnd)
  }
  return { from: starts.subarray(0, count), to: ends.subarray(0, count), value: new Uint8Array(count).fill(1) }
}
