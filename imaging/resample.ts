/**
 * Sampling a volume on another grid, by MONAI's rule (`SpatialResample`, align_corners False, padding "border"): output
 * voxel o lies at input index inv(A_in) A_out o, clamped to the volume; trilinear or nearest, in float64, result float32.
 * No filter against aliasing, as there. Planes are made in ascending z and only those input planes are held that the
 * plane at work touches, so a scan streams through unless the grids are turned far against each other.
 */

import { samplePlane, type Sampling } from '../native/voxels.ts'
import type { Grid, Slab, Volume } from '../pipeline/grid.ts'
import { indexMap } from './affine.ts'
import { roundHalfEven } from './spacing.ts'
import { lazyVolume, SlabMemory, slabPlanes } from './volume.ts'

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
 * damage at the end of a file is not missed; a source that can be read by region gives only the planes that are needed, where
 * that saves some.
 */
export function resample(volume: Volume, target: Grid, interpolation: Interpolation): Volume {
  if (isSameGrid(volume.grid, target)) return volume
  const { shape } = target
  const sampling = samplingOf(volume.grid, target, interpolation)
  return lazyVolume(target, async function* (): AsyncGenerator<Slab> {
    const window = planeWindow(volume, sampling)
    const memory = new SlabMemory()
    const plane = shape[0] * shape[1]
    const step = slabPlanes(target)
    try {
      for (let z = 0; z < shape[2]; z += step) {
        const planes = Math.min(step, shape[2] - z)
        const slab = memory.slab(z, planes, planes * plane)
        for (let k = 0; k < planes; k++) {
          const [low, high] = reach(sampling, z + k)
          const to = slab.voxels.subarray(k * plane, (k + 1) * plane)
          await samplePlane(sampling, z + k, await window.planes(low, high), low, to)
        }
        if (z + planes === shape[2]) await window.drain()
        yield slab
      }
    } finally {
      await window.close()
    }
  })
}

/** How voxels of `target` are sampled from those of `source`. */
export function samplingOf(source: Grid, target: Grid, interpolation: Interpolation): Sampling {
  const map = indexMap(target, source)
  return { map, source: source.shape, target: target.shape, interpolation, isSeparable: isSeparable(map, target) }
}

/** The planes of a volume, for whoever samples it in ascending z of the target. */
export function planeWindow(volume: Volume, sampling: Sampling): PlaneWindow {
  return picksPlanes(volume, sampling) ? new PickedPlanes(volume) : new PassingPlanes(volume, runsBackwards(sampling))
}

/** Whether planes are read one by one: where that is possible, and saves every second or is needed in another order. */
function picksPlanes(volume: Volume, { map }: Sampling): boolean {
  return volume.region !== undefined && (map[10]! < 0 || map[10]! >= 2)
}

function runsBackwards({ map }: Sampling): boolean {
  return map[10]! < 0
}

/** First and last input plane that output plane z needs. */
export function reach({ map: m, source, target, interpolation, isSeparable }: Sampling, z: number): [number, number] {
  const last = source[2] - 1
  if (isSeparable) {
    const at = clamp(m[10]! * z + m[11]!, last)
    const lower = interpolation === 'nearest' ? roundHalfEven(at) : Math.floor(at)
    return [lower, interpolation === 'nearest' ? lower : Math.min(lower + 1, last)]
  }
  const ends = [0, target[0] - 1].flatMap(x =>
    [0, target[1] - 1].map(y => clamp(m[8]! * x + m[9]! * y + m[10]! * z + m[11]!, last)),
  )
  // One plane to spare on either side: the voxels' own coordinates are rounded differently from the corners'.
  return [Math.max(0, Math.floor(Math.min(...ends)) - 1), Math.min(last, Math.floor(Math.max(...ends)) + 2)]
}

function clamp(at: number, last: number): number {
  return at < 0 ? 0 : at > last ? last : at
}

/** The input planes at hand, asked for in the order of the output. */
export interface PlaneWindow {
  /** Planes low to high (y, x), views; good until the next are asked for. */
  planes(low: number, high: number): Promise<Float32Array[]>
  /** Pulls what is left, for its errors only. */
  drain(): Promise<void>
  close(): Promise<void>
}

/** A few consecutive planes of what streams by, older ones let go. */
class PassingPlanes implements PlaneWindow {
  readonly #plane: number
  readonly #source: AsyncIterator<Slab>
  /** A map that runs against z goes back to planes already seen. */
  readonly #keepsAll: boolean
  #slabs: Slab[] = []
  #next = 0

  constructor(volume: Volume, keepsAll: boolean) {
    this.#plane = volume.grid.shape[0] * volume.grid.shape[1]
    this.#source = volume.slabs()[Symbol.asyncIterator]()
    this.#keepsAll = keepsAll
  }

  async planes(low: number, high: number): Promise<Float32Array[]> {
    const from = this.#keepsAll ? 0 : low
    while (this.#slabs.length > 0 && end(this.#slabs[0]!) <= from) this.#slabs.shift()!.release?.()
    while (this.#next <= high) {
      const { done, value } = await this.#source.next()
      if (done) throw new Error(`expected plane ${high}, found the end of the volume after ${this.#next} planes`)
      this.#next = end(value)
      if (this.#next > from) this.#slabs.push(value)
      else value.release?.()
    }
    return Array.from({ length: high - low + 1 }, (_, i) => this.#planeAt(low + i))
  }

  #planeAt(z: number): Float32Array {
    for (const slab of this.#slabs) {
      if (z < end(slab)) return slab.voxels.subarray((z - slab.z) * this.#plane, (z - slab.z + 1) * this.#plane)
    }
    throw new Error(`plane ${z} is not at hand`)
  }

  async drain(): Promise<void> {
    for (const slab of this.#slabs.splice(0)) slab.release?.()
    for (let next = await this.#source.next(); !next.done; next = await this.#source.next()) next.value.release?.()
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}

function end(slab: Slab): number {
  return slab.z + slab.planes
}

/** Planes read when they are needed, in any order. */
class PickedPlanes implements PlaneWindow {
  readonly #volume: Volume
  #held = new Map<number, Float32Array>()

  constructor(volume: Volume) {
    this.#volume = volume
  }

  async planes(low: number, high: number): Promise<Float32Array[]> {
    const wanted = Array.from({ length: high - low + 1 }, (_, i) => low + i)
    const missing = wanted.filter(z => !this.#held.has(z))
    const [nx, ny] = this.#volume.grid.shape
    const held = new Map([...this.#held].filter(([z]) => z >= low && z <= high))
    this.#held = held
    if (missing.length > 0) {
      // What is held lies at one end: what is missing is consecutive.
      const [first, last] = [missing[0]!, missing.at(-1)!]
      const voxels = await this.#volume.region!([0, 0, first], [nx, ny, last - first + 1])
      for (let z = first; z <= last; z++) held.set(z, voxels.subarray((z - first) * nx * ny, (z - first + 1) * nx * ny))
    }
    return wanted.map(z => held.get(z)!)
  }

  async drain(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Whether the axes of both grids run along each other: off the diagonal nothing that moves a sample noticeably. */
function isSeparable(map: readonly number[], target: Grid): boolean {
  return [0, 1, 2].every(row =>
    [0, 1, 2].every(axis => axis === row || Math.abs(map[row * 4 + axis]!) * (target.shape[axis]! - 1) < 1e-9),
  )
}
