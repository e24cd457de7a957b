/** Sampling on another grid in plain loops over whole volumes, for imaging/resample.ts: the same rule, the same bits. */

import { indexMap } from '../../imaging/affine.ts'
import { roundHalfEven } from '../../imaging/spacing.ts'
import type { Grid } from '../../pipeline/grid.ts'

type Interpolation = 'linear' | 'nearest'

/** Voxels (z, y, x) of `source` on `target`; `isSeparable` looks at the diagonal of the map and its shifts only. */
export function sampled(
  voxels: Float32Array,
  source: Grid,
  target: Grid,
  interpolation: Interpolation,
  isSeparable: boolean,
): Float32Array {
  return sampledByMap(voxels, source.shape, target.shape, indexMap(target, source), interpolation, isSeparable)
}

type Shape = readonly [number, number, number]

export function sampledByMap(
  voxels: Float32Array,
  source: Shape,
  target: Shape,
  map: readonly number[],
  interpolation: Interpolation,
  isSeparable: boolean,
): Float32Array {
  const out = new Float32Array(target[0] * target[1] * target[2])
  const work = isSeparable ? separable : interpolation === 'linear' ? linear : nearest
  work(voxels, source, target, map, out, interpolation)
  return out
}

/** Where the samples of one axis lie: value = source[lower] * (1 - weight) + source[upper] * weight. */
interface AxisSamples {
  readonly lower: Int32Array
  readonly upper: Int32Array
  /** 0 for `nearest`. */
  readonly weight: Float64Array
}

function axisSamples(
  map: readonly number[],
  axis: number,
  source: Shape,
  target: Shape,
  interpolation: Interpolation,
): AxisSamples {
  const n = target[axis]!
  const last = source[axis]! - 1
  const samples = { lower: new Int32Array(n), upper: new Int32Array(n), weight: new Float64Array(n) }
  for (let i = 0; i < n; i++) {
    const at = clamp(map[axis * 5]! * i + map[axis * 4 + 3]!, last)
    const lower = interpolation === 'nearest' ? roundHalfEven(at) : Math.floor(at)
    samples.lower[i] = lower
    samples.upper[i] = interpolation === 'nearest' ? lower : Math.min(lower + 1, last)
    samples.weight[i] = interpolation === 'nearest' ? 0 : at - lower
  }
  return samples
}

/** z, y, x one after the other, in float64. */
function separable(
  voxels: Float32Array,
  source: Shape,
  target: Shape,
  map: readonly number[],
  out: Float32Array,
  interpolation: Interpolation,
): void {
  const [xs, ys, zs] = [0, 1, 2].map(axis => axisSamples(map, axis, source, target, interpolation)) as [
    AxisSamples,
    AxisSamples,
    AxisSamples,
  ]
  const width = source[0]
  const plane = width * source[1]
  const between = (a: number, b: number, weight: number): number =>
    interpolation === 'nearest' ? a : a * (1 - weight) + b * weight
  let at = 0
  for (let z = 0; z < target[2]; z++) {
    for (let y = 0; y < target[1]; y++) {
      const inZ = (row: number, x: number): number =>
        between(
          voxels[zs.lower[z]! * plane + row * width + x]!,
          voxels[zs.upper[z]! * plane + row * width + x]!,
          zs.weight[z]!,
        )
      const inY = (x: number): number => between(inZ(ys.lower[y]!, x), inZ(ys.upper[y]!, x), ys.weight[y]!)
      for (let x = 0; x < target[0]; x++) out[at++] = between(inY(xs.lower[x]!), inY(xs.upper[x]!), xs.weight[x]!)
    }
  }
}

function linear(voxels: Float32Array, source: Shape, target: Shape, m: readonly number[], out: Float32Array): void {
  const [width, height] = source
  const plane = width * height
  const [lastX, lastY, lastZ] = [width - 1, height - 1, source[2] - 1]
  let at = 0
  for (let z = 0; z < target[2]; z++) {
    for (let y = 0; y < target[1]; y++) {
      const x0 = m[1]! * y + m[2]! * z + m[3]!
      const y0 = m[5]! * y + m[6]! * z + m[7]!
      const z0 = m[9]! * y + m[10]! * z + m[11]!
      for (let x = 0; x < target[0]; x++) {
        const sx = clamp(m[0]! * x + x0, lastX)
        const sy = clamp(m[4]! * x + y0, lastY)
        const sz = clamp(m[8]! * x + z0, lastZ)
        const [ix, iy, iz] = [Math.floor(sx), Math.floor(sy), Math.floor(sz)]
        const [fx, fy, fz] = [sx - ix, sy - iy, sz - iz]
        const near = iy * width + ix
        const right = ix < lastX ? 1 : 0
        const down = iy < lastY ? width : 0
        const inPlane = (p: number): number =>
          (voxels[p + near]! * (1 - fx) + voxels[p + near + right]! * fx) * (1 - fy) +
          (voxels[p + near + down]! * (1 - fx) + voxels[p + near + down + right]! * fx) * fy
        out[at++] = inPlane(iz * plane) * (1 - fz) + inPlane(Math.min(iz + 1, lastZ) * plane) * fz
      }
    }
  }
}

function nearest(voxels: Float32Array, source: Shape, target: Shape, m: readonly number[], out: Float32Array): void {
  const [width, height] = source
  const [lastX, lastY, lastZ] = [width - 1, height - 1, source[2] - 1]
  let at = 0
  for (let z = 0; z < target[2]; z++) {
    for (let y = 0; y < target[1]; y++) {
      for (let x = 0; x < target[0]; x++) {
        const ix = roundHalfEven(clamp(m[0]! * x + m[1]! * y + m[2]! * z + m[3]!, lastX))
        const iy = roundHalfEven(clamp(m[4]! * x + m[5]! * y + m[6]! * z + m[7]!, lastY))
        const iz = roundHalfEven(clamp(m[8]! * x + m[9]! * y + m[10]! * z + m[11]!, lastZ))
        out[at++] = voxels[(iz * height + iy) * width + ix]!
      }
    }
  }
}

function clamp(at: number, last: number): number {
  return at < 0 ? 0 : at > last ? last : at
}
