/** Trilinear up-sampling by two (align_corners=False) and its gradient, as plain loops in float64. (N, D, H, W, C). */

import type { Shape5 } from './conv3d.ts'

export function upsample2(x: ArrayLike<number>, shape: Shape5): { y: Float64Array; shape: Shape5 } {
  const [n, d, h, w, c] = shape
  const outShape: Shape5 = [n, 2 * d, 2 * h, 2 * w, c]
  const y = new Float64Array(n * d * h * w * c * 8)
  forEachPair(shape, (from, to, weight) => {
    for (let k = 0; k < c; k++) y[to * c + k]! += weight * x[from * c + k]!
  })
  return { y, shape: outShape }
}

/** dx, half of dy's size on each spatial axis. */
export function upsample2Gradient(dy: ArrayLike<number>, dyShape: Shape5): { dx: Float64Array; shape: Shape5 } {
  const [n, d2, h2, w2, c] = dyShape
  const shape: Shape5 = [n, d2 / 2, h2 / 2, w2 / 2, c]
  const dx = new Float64Array((n * d2 * h2 * w2 * c) / 8)
  forEachPair(shape, (from, to, weight) => {
    for (let k = 0; k < c; k++) dx[from * c + k]! += weight * dy[to * c + k]!
  })
  return { dx, shape }
}

/** The two source positions of output index o on an axis of n voxels: src = max((o + 0.5) / 2 - 0.5, 0). */
function sources(o: number, n: number): readonly (readonly [index: number, weight: number])[] {
  const src = Math.max((o + 0.5) / 2 - 0.5, 0)
  const i0 = Math.floor(src)
  const i1 = Math.min(i0 + 1, n - 1)
  return [
    [i0, 1 - (src - i0)],
    [i1, src - i0],
  ]
}

function forEachPair(shape: Shape5, visit: (from: number, to: number, weight: number) => void): void {
  const [n, d, h, w] = shape
  for (let b = 0; b < n; b++)
    for (let z = 0; z < 2 * d; z++)
      for (let y = 0; y < 2 * h; y++)
        for (let x = 0; x < 2 * w; x++)
          for (const [iz, wz] of sources(z, d))
            for (const [iy, wy] of sources(y, h))
              for (const [ix, wx] of sources(x, w))
                visit(((b * d + iz) * h + iy) * w + ix, ((b * 2 * d + z) * 2 * h + y) * 2 * w + x, wz * wy * wx)
}
