/**
 * Loops over voxels, off the main thread: each call is one piece of work for libuv's pool, and several run side by side.
 * The bits are the same on every processor. Voxels are (z, y, x), x fastest.
 *
 * Until a promise settles, the work reads and writes the memory of its arrays: leave them alone, and above all do not
 * transfer, detach or shrink their buffers. Shared memory is welcome. Arrays of a wrong size are refused before anything
 * is queued.
 */

import { loadAddon } from './addon.ts'

/** How voxels may be stored, in the order of `Stored` in decode.h. */
export const storedTypes = [
  'uint8',
  'int8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float32',
  'float64',
] as const
export type StoredType = (typeof storedTypes)[number]

export interface Encoding {
  readonly type: StoredType
  readonly littleEndian: boolean
  /** value = raw * slope + intercept in float64, rounded once; 1 and 0 leave the values as they are. */
  readonly slope: number
  readonly intercept: number
}

/** How many values are NaN or infinite, and the index of the first; -1 where there is none. */
export interface NotFinite {
  readonly count: number
  readonly first: number
}

const machineIsLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Stored bytes, on any boundary, become as many float32 as `to` has. int64 and uint64 pass through float64. */
export async function decode(raw: Uint8Array, to: Float32Array, encoding: Encoding): Promise<NotFinite> {
  const { type, littleEndian, slope, intercept } = encoding
  const isSwapped = littleEndian !== machineIsLittleEndian
  const [count, first] = await loadAddon().decode(raw, to, storedTypes.indexOf(type), isSwapped, slope, intercept)
  return { count, first }
}

export interface Sampling {
  /** Row-major 4x4 (the last row is not looked at): output voxel to input index, which is clamped to the volume. */
  readonly map: readonly number[]
  /** The input's extents, and those of an output plane. */
  readonly source: readonly [x: number, y: number, z: number]
  readonly target: readonly [x: number, y: number, ...rest: number[]]
  /** Trilinear, or the nearest voxel and of two the one with the even index. */
  readonly interpolation: 'linear' | 'nearest'
  /** Whether off its diagonal the map moves nothing: then only diagonal and shifts are looked at. */
  readonly isSeparable: boolean
}

/** Fills plane z of the output, `to`. `planes` are the input planes low, low + 1, ... that it needs; else a RangeError. */
export async function samplePlane(
  { map, source, target, interpolation, isSeparable }: Sampling,
  z: number,
  planes: readonly Float32Array[],
  low: number,
  to: Float32Array,
): Promise<void> {
  const shape = [...source, target[0], target[1], z, low]
  const rows = Float64Array.from(map.slice(0, 12))
  await loadAddon().samplePlane(planes, to, rows, shape, interpolation === 'nearest', isSeparable)
}

/**
 * Where the map, sampled on planes z, z + 1, ... of the output by a linear and separable sampling, is above 0: as many planes
 * as `to` has room for. `margin` are the input planes low, low + 1, ... that they need; else a RangeError. Each plane begins
 * at a multiple of its voxels in `to`, with its runs as imaging/mask.ts keeps them (9 bytes each, how many is what it gives),
 * or with its voxels where runs would take more bytes (-1).
 */
export async function sampleMask(
  { map, source, target }: Sampling,
  z: number,
  margin: readonly Float32Array[],
  low: number,
  to: Uint8Array,
): Promise<readonly number[]> {
  const [nx, ny] = target
  const shape = [...source, nx, ny, z, Math.floor(to.length / (nx * ny)), low]
  return loadAddon().sampleMask(margin, to, Float64Array.from(map.slice(0, 12)), shape)
}

export interface ClipOptions {
  readonly min: number
  readonly max: number
  /** What min and max become. */
  readonly to: readonly [number, number]
}

/**
 * [min, max] becomes [to[0], to[1]], values outside are limited, NaN stays: (v - min) / (max - min) * (to[1] - to[0]) +
 * to[0], every operation rounded to float32. `to` may be `from`.
 */
export async function clip(from: Float32Array, to: Float32Array, options: ClipOptions): Promise<void> {
  const [low, high] = options.to
  await loadAddon().clip(from, to, options.min, options.max, low, high)
}

/** Classes of label values: a dense table of those from 0 to 65535, and a list of the others. */
export interface Classes {
  readonly dense: Int16Array
  readonly values: Float64Array
  readonly classes: Int16Array
}

const denseClasses = 65536

/** Classes are 0 to 32767. */
export function classesOf(table: ReadonlyMap<number, number>): Classes {
  const dense = new Int16Array(denseClasses).fill(-1)
  const others: [number, number][] = []
  for (const [value, index] of table) {
    if (Number.isInteger(value) && value >= 0 && value < denseClasses) dense[value] = index
    else others.push([value, index])
  }
  const [values, classes] = [0, 1].map(column => others.map(entry => entry[column]!))
  return { dense, values: Float64Array.from(values!), classes: Int16Array.from(classes!) }
}

/**
 * The class of every value; `to` may be `from`. Gives -1, or the index of the first value without a class: from there on
 * `to` is not written. NaN has none.
 */
export async function mapLabels(from: Float32Array, to: Float32Array, table: Classes): Promise<number> {
  return loadAddon().mapLabels(from, to, table.dense, table.values, table.classes)
}

/** First and last voxel (x, y, z) of the box around all voxels above the threshold. */
export interface Ends {
  readonly low: readonly [number, number, number]
  readonly high: readonly [number, number, number]
}

/** undefined where no voxel is above, strictly. */
export async function searchBox(
  voxels: Float32Array,
  shape: readonly [x: number, y: number, z: number],
  threshold: number,
): Promise<Ends | undefined> {
  const ends = await loadAddon().searchBox(voxels, shape, threshold)
  if (!ends) return undefined
  const [a, b, c, d, e, f] = ends as [number, number, number, number, number, number]
  return { low: [a, b, c], high: [d, e, f] }
}

/** Where the planes at hand lie in their volume, and how many classes there are. */
export interface CandidatePlanes {
  readonly nx: number
  readonly ny: number
  readonly planes: number
  readonly z: number
  readonly nz: number
  readonly classes: number
}

/**
 * Marks foreground voxels (label not 0) and background (not foreground, image above the threshold, which is compared as
 * float64). `bits` has for each x a plane (y, z), z fastest, filled up to whole bytes: nx planes of foreground, then of
 * background. `counts`, 2 nx, is added to. Gives -1, or the index of the first label that is no class.
 */
export async function markCandidates(
  label: Float32Array,
  image: Float32Array,
  { nx, ny, planes, z, nz, classes }: CandidatePlanes,
  threshold: number,
  bits: Uint8Array,
  counts: Float64Array,
): Promise<number> {
  return loadAddon().markCandidates(label, image, [nx, ny, planes, z, nz, classes], threshold, bits, counts)
}
