/** Sliding windows as plain loops in float64: every window, every mirrored view, over the whole volume at once. */

import type { Shape3 } from '../../pipeline/grid.ts'

/** Logits (z, y, x, class) of a window (z, y, x). */
export type Network = (voxels: Float32Array, shape: Shape3) => Float32Array

export interface Covering {
  readonly window: Shape3
  readonly starts: readonly Shape3[]
  /** Weights of a window's voxels (z, y, x). */
  readonly importance: Float32Array
  /** Bits 0, 1, 2 mirror along x, y, z. */
  readonly views: readonly number[]
  readonly classes: number
}

/** Probabilities, one array (z, y, x) per class. */
export function probabilities(
  voxels: Float32Array,
  [nx, ny, nz]: Shape3,
  { window, starts, importance, views, classes }: Covering,
  network: Network,
): Float64Array[] {
  const [wx, wy, wz] = window
  const sums = Array.from({ length: classes }, () => new Float64Array(nx * ny * nz))
  const weights = new Float64Array(nx * ny * nz)
  for (const [x, y, z] of starts) {
    for (const view of views) {
      const seen = new Float32Array(wx * wy * wz)
      const places = new Int32Array(seen.length)
      const own = new Int32Array(seen.length)
      let at = 0
      for (let k = 0; k < wz; k++) {
        for (let j = 0; j < wy; j++) {
          for (let i = 0; i < wx; i++, at++) {
            const [mi, mj, mk] = [view & 1 ? wx - 1 - i : i, view & 2 ? wy - 1 - j : j, view & 4 ? wz - 1 - k : k]
            places[at] = ((z + mk) * ny + y + mj) * nx + x + mi
            own[at] = (mk * wy + mj) * wx + mi
            seen[at] = voxels[places[at]!]!
          }
        }
      }
      const logits = network(seen, window)
      for (let v = 0; v < seen.length; v++) {
        const weight = importance[own[v]!]!
        weights[places[v]!]! += weight
        for (let c = 0; c < classes; c++) sums[c]![places[v]!]! += weight * logits[v * classes + c]!
      }
    }
  }
  return softmax(sums.map(sum => sum.map((value, i) => value / weights[i]!)))
}

function softmax(logits: readonly Float64Array[]): Float64Array[] {
  return logits.map(values =>
    values.map((value, i) => 1 / logits.reduce((sum, other) => sum + Math.exp(other[i]! - value), 0)),
  )
}
