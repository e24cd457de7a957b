/**
 * Sampling a volume on another grid, by MONAI's rule (`SpatialResample`, align_corners False, padding "border"): output
 * voxel o lies at input index inv(A_in) A_out o, clamped to the volume; trilinear or nearest, in float64, result float32.
 * No filter against aliasing, as there. Planes are made in ascending z and only those input planes are held that the
 * plane at work touches, so a scan streams through unless the grids are turned far against each other.
 */

import type { Grid, Slab, Volume } from '../pipeline/stage.ts'
import { indexMap } from './affine.ts'
import { roundHalfEven } from './spacing.ts'
import { lazyVolume, slabPlanes } from './volume.ts'

export type Interpolation = 'linear' | 'nearest'

/** MONAI leaves a volume alone whose grid differs by less than this, voxels. */
const sameGridTolerance = 1e-3

/** Whether two grids have the same shape and their index maps differ by at most 1e-3 in every entry. */
export function isSameGrid(a: Grid, b: Grid): boolean {
  if (!a.shape.every((n, axis) => n === b.shape[axis])) return false
  return indexMap(b, a).every((value, i) => Math.abs(value - (i % 5 === 0 ? 1 : 0)) <= sameGridTolerance)
}

/**
 * The volume on `target`. The same volume (with its own grid) where the grids are the same. `linear` interpolates,
 * `nearest` takes the nearest voxel, halves to the even index. Reads its source to the end, past what it needs, so that
 * damage at the end of a file is not missed.
 */
export function resample(volume: Volume, target: Grid, interpolation: Interpolation): Volume {
  if (isSameGrid(volume.grid, target)) return volume
  const map = indexMap(target, volume.grid)
  return lazyVolume(target, async function* (): AsyncGenerator<Slab> {
    const sampler = isSeparable(map, target)
      ? new SeparableSampler(map, volume.grid, target, interpolation)
      : new GeneralSampler(map, volume.grid, target, interpolation)
    const window = new PlaneWindow(volume)
    const plane = target.shape[0] * target.shape[1]
    const step = slabPlanes(target)
    try {
      for (let z = 0; z < target.shape[2]; z += step) {
        const planes = Math.min(step, target.shape[2] - z)
        const voxels = new Float32Array(planes * plane)
        for (let k = 0; k < planes; k++) {
          const [low, high] = sampler.reach(z + k)
          // A map that runs against z goes back to planes already seen: then all of them are kept.
          await window.advance(map[10]! < 0 ? 0 : low, high)
          sampler.sample(z + k, window, voxels.subarray(k * plane, (k + 1) * plane))
        }
        if (z + planes === target.shape[2]) await window.drain()
        yield { z, planes, voxels }
      }
    } finally {
      await window.close()
    }
  })
}

/** The input planes at hand: a few consecutive ones, older ones let go. */
class PlaneWindow {
  readonly #plane: number
  readonly #source: AsyncIterator<Slab>
  #slabs: Slab[] = []
  #next = 0

  constructor(volume: Volume) {
    this.#plane = volume.grid.shape[0] * volume.grid.shape[1]
    this.#source = volume.slabs()[Symbol.asyncIterator]()
  }

  /** Makes planes low..high available and lets those before `low` go. */
  async advance(low: number, high: number): Promise<void> {
    while (this.#slabs.length > 0 && this.#slabs[0]!.z + this.#slabs[0]!.planes <= low) this.#slabs.shift()
    while (this.#next <= high) {
      const { done, value } = await this.#source.next()
      if (done) throw new Error(`expected plane ${high}, found the end of the volume after ${this.#next} planes`)
      this.#next = value.z + value.planes
      if (this.#next > low) this.#slabs.push(value)
    }
  }

  /** Plane z (y, x); it must be at hand. */
  plane(z: number): Float32Array {
    for (const slab of this.#slabs) {
      if (z < slab.z + slab.planes)
        return slab.voxels.subarray((z - slab.z) * this.#plane, (z - slab.z + 1) * this.#plane)
    }
    throw new Error(`plane ${z} is not at hand`)
  }

  /** Pulls what is left, for its errors only. */
  async drain(): Promise<void> {
    while (!(await this.#source.next()).done) this.#slabs = []
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}

interface Sampler {
  /** First and last input plane that output plane z needs. */
  reach(z: number): [number, number]
  /** Fills output plane z (y, x). */
  sample(z: number, window: PlaneWindow, out: Float32Array): void
}

/** Whether the axes of both grids run along each other: off the diagonal nothing that moves a sample noticeably. */
function isSeparable(map: readonly number[], target: Grid): boolean {
  return [0, 1, 2].every(row =>
    [0, 1, 2].every(axis => axis === row || Math.abs(map[row * 4 + axis]!) * (target.shape[axis]! - 1) < 1e-9),
  )
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
  source: Grid,
  target: Grid,
  interpolation: Interpolation,
): AxisSamples {
  const n = target.shape[axis]!
  const last = source.shape[axis]! - 1
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

/** Both grids axis-aligned: indices and weights once per axis, then z, y, x one after the other. */
class SeparableSampler implements Sampler {
  readonly #x: AxisSamples
  readonly #y: AxisSamples
  readonly #z: AxisSamples
  readonly #width: number
  readonly #interpolation: Interpolation
  readonly #blended: Float64Array
  readonly #row: Float64Array

  constructor(map: readonly number[], source: Grid, target: Grid, interpolation: Interpolation) {
    this.#x = axisSamples(map, 0, source, target, interpolation)
    this.#y = axisSamples(map, 1, source, target, interpolation)
    this.#z = axisSamples(map, 2, source, target, interpolation)
    this.#width = source.shape[0]
    this.#interpolation = interpolation
    this.#blended = new Float64Array(interpolation === 'linear' ? source.shape[0] * source.shape[1] : 0)
    this.#row = new Float64Array(source.shape[0])
  }

  reach(z: number): [number, number] {
    return [this.#z.lower[z]!, this.#z.upper[z]!]
  }

  sample(z: number, window: PlaneWindow, out: Float32Array): void {
    const lower = window.plane(this.#z.lower[z]!)
    if (this.#interpolation === 'nearest') pickPlane(lower, this.#x.lower, this.#y.lower, this.#width, out)
    else {
      blendPlanes(lower, window.plane(this.#z.upper[z]!), this.#z.weight[z]!, this.#blended)
      this.#interpolatePlane(out)
    }
  }

  #interpolatePlane(out: Float32Array): void {
    const { lower, upper, weight } = this.#x
    const [nx, ny, width] = [lower.length, this.#y.lower.length, this.#width]
    const row = this.#row
    for (let y = 0; y < ny; y++) {
      blendRows(this.#blended, this.#y.lower[y]! * width, this.#y.upper[y]! * width, this.#y.weight[y]!, row)
      const at = y * nx
      for (let x = 0; x < nx; x++) {
        const w = weight[x]!
        out[at + x] = row[lower[x]!]! * (1 - w) + row[upper[x]!]! * w
      }
    }
  }
}

function pickPlane(plane: Float32Array, xs: Int32Array, ys: Int32Array, width: number, out: Float32Array): void {
  let at = 0
  for (let y = 0; y < ys.length; y++) {
    const row = ys[y]! * width
    for (let x = 0; x < xs.length; x++) out[at++] = plane[row + xs[x]!]!
  }
}

function blendPlanes(a: Float32Array, b: Float32Array, weight: number, out: Float64Array): void {
  const rest = 1 - weight
  for (let i = 0; i < out.length; i++) out[i] = a[i]! * rest + b[i]! * weight
}

function blendRows(plane: Float64Array, a: number, b: number, weight: number, out: Float64Array): void {
  const rest = 1 - weight
  for (let i = 0; i < out.length; i++) out[i] = plane[a + i]! * rest + plane[b + i]! * weight
}

/** Any two grids: coordinates of every voxel by the whole matrix, eight neighbours. */
class GeneralSampler implements Sampler {
  readonly #map: readonly number[]
  readonly #source: Grid
  readonly #target: Grid
  readonly #interpolation: Interpolation

  constructor(map: readonly number[], source: Grid, target: Grid, interpolation: Interpolation) {
    this.#map = map
    this.#source = source
    this.#target = target
    this.#interpolation = interpolation
  }

  reach(z: number): [number, number] {
    const [nx, ny] = this.#target.shape
    const last = this.#source.shape[2] - 1
    const m = this.#map
    const ends = [0, nx - 1].flatMap(x =>
      [0, ny - 1].map(y => clamp(m[8]! * x + m[9]! * y + m[10]! * z + m[11]!, last)),
    )
    // One plane to spare on either side: the voxels' own coordinates are rounded differently from the corners'.
    return [Math.max(0, Math.floor(Math.min(...ends)) - 1), Math.min(last, Math.floor(Math.max(...ends)) + 2)]
  }

  sample(z: number, window: PlaneWindow, out: Float32Array): void {
    const [low, high] = this.reach(z)
    const planes = Array.from({ length: high - low + 1 }, (_, i) => window.plane(low + i))
    if (this.#interpolation === 'nearest') this.#nearest(z, low, planes, out)
    else this.#linear(z, low, planes, out)
  }

  #linear(z: number, low: number, planes: readonly Float32Array[], out: Float32Array): void {
    const m = this.#map
    const [nx, ny] = this.#target.shape
    const width = this.#source.shape[0]
    const [lastX, lastY, lastZ] = [width - 1, this.#source.shape[1] - 1, this.#source.shape[2] - 1]
    let at = 0
    for (let y = 0; y < ny; y++) {
      const x0 = m[1]! * y + m[2]! * z + m[3]!
      const y0 = m[5]! * y + m[6]! * z + m[7]!
      const z0 = m[9]! * y + m[10]! * z + m[11]!
      for (let x = 0; x < nx; x++) {
        const sx = clamp(m[0]! * x + x0, lastX)
        const sy = clamp(m[4]! * x + y0, lastY)
        const sz = clamp(m[8]! * x + z0, lastZ)
        const ix = Math.floor(sx)
        const iy = Math.floor(sy)
        const iz = Math.floor(sz)
        const [fx, fy, fz] = [sx - ix, sy - iy, sz - iz]
        const near = iy * width + ix
        const right = ix < lastX ? 1 : 0
        const down = iy < lastY ? width : 0
        const lower = planes[iz - low]!
        const upper = planes[Math.min(iz + 1, lastZ) - low]!
        const a =
          (lower[near]! * (1 - fx) + lower[near + right]! * fx) * (1 - fy) +
          (lower[near + down]! * (1 - fx) + lower[near + down + right]! * fx) * fy
        const b =
          (upper[near]! * (1 - fx) + upper[near + right]! * fx) * (1 - fy) +
          (upper[near + down]! * (1 - fx) + upper[near + down + right]! * fx) * fy
        out[at++] = a * (1 - fz) + b * fz
      }
    }
  }

  #nearest(z: number, low: number, planes: readonly Float32Array[], out: Float32Array): void {
    const m = this.#map
    const [nx, ny] = this.#target.shape
    const width = this.#source.shape[0]
    const [lastX, lastY, lastZ] = [width - 1, this.#source.shape[1] - 1, this.#source.shape[2] - 1]
    let at = 0
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        const ix = roundHalfEven(clamp(m[0]! * x + m[1]! * y + m[2]! * z + m[3]!, lastX))
        const iy = roundHalfEven(clamp(m[4]! * x + m[5]! * y + m[6]! * z + m[7]!, lastY))
        const iz = roundHalfEven(clamp(m[8]! * x + m[9]! * y + m[10]! * z + m[11]!, lastZ))
        out[at++] = planes[iz - low]![iy * width + ix]!
      }
    }
  }
}

function clamp(at: number, last: number): number {
  return at < 0 ? 0 : at > last ? last : at
}
