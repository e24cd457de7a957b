/** Making volumes larger, as MONAI's `SpatialPad` with numpy's modes. */

import type { Grid, Shape3, Slab, Volume } from '../pipeline/grid.ts'
import { translated } from './affine.ts'
import { lazyVolume, SlabMemory, slabPlanes, slabsOf } from './volume.ts'

/**
 * What the new voxels are. `constant`: a value. `edge`: the nearest voxel. `minimum`: the least value of the line along
 * the padded axis, axis after axis, so corners take the least of a plane or of the whole.
 */
export type PadMode = 'constant' | 'edge' | 'minimum'

/** Voxels to add on either side. */
export interface Padding {
  readonly before: Shape3
  readonly after: Shape3
}

/** What brings `shape` to at least `size`: `symmetric` puts the smaller half in front, `end` puts all behind. */
export function paddingTo(shape: Shape3, size: Shape3, method: 'symmetric' | 'end' = 'symmetric'): Padding {
  const missing = size.map((n, axis) => Math.max(0, n - shape[axis]!))
  const before = missing.map(n => (method === 'symmetric' ? Math.floor(n / 2) : 0)) as unknown as Shape3
  return { before, after: missing.map((n, axis) => n - before[axis]!) as unknown as Shape3 }
}

/** The grid with the padding around it; old voxels keep their places in the world. */
export function paddedGrid(grid: Grid, { before, after }: Padding): Grid {
  return {
    shape: [0, 1, 2].map(axis => before[axis]! + grid.shape[axis]! + after[axis]!) as unknown as Shape3,
    affine: translated(grid.affine, [-before[0], -before[1], -before[2]]),
  }
}

/**
 * The volume with the padding around it; the same volume where there is none. `constant` streams, the other modes hold
 * the whole result while it is pulled.
 */
export function pad(volume: Volume, padding: Padding, mode: PadMode, value = 0): Volume {
  const { before, after } = padding
  if (before.every(n => n === 0) && after.every(n => n === 0)) return volume
  const grid = paddedGrid(volume.grid, padding)
  if (mode === 'constant') return lazyVolume(grid, () => constantSlabs(volume, grid, before, value))
  return lazyVolume(grid, async function* (): AsyncGenerator<Slab> {
    const voxels = new Float32Array(grid.shape[0] * grid.shape[1] * grid.shape[2])
    for await (const slab of volume.slabs()) {
      place(slab, volume.grid.shape, voxels, grid.shape, before, before[2] + slab.z)
      slab.release?.()
    }
    fillRows(voxels, grid.shape, volume.grid.shape, before, mode)
    fillColumns(voxels, grid.shape, volume.grid.shape, before, mode)
    fillPlanes(voxels, grid.shape, volume.grid.shape, before, mode)
    yield* slabsOf(grid, voxels)
  })
}

async function* constantSlabs(volume: Volume, grid: Grid, before: Shape3, value: number): AsyncGenerator<Slab> {
  const memory = new SlabMemory()
  const step = slabPlanes(grid)
  const blank = (z: number, planes: number): Slab => {
    const slab = memory.slab(z, planes, planes * grid.shape[0] * grid.shape[1])
    slab.voxels.fill(value)
    return slab
  }
  const blanks = function* (from: number, end: number): Generator<Slab> {
    for (let z = from; z < end; z += step) yield blank(z, Math.min(step, end - z))
  }
  yield* blanks(0, before[2])
  for await (const slab of volume.slabs()) {
    const padded = blank(before[2] + slab.z, slab.planes)
    place(slab, volume.grid.shape, padded.voxels, grid.shape, before, 0)
    slab.release?.()
    yield padded
  }
  yield* blanks(before[2] + volume.grid.shape[2], grid.shape[2])
}

/** Copies a slab's rows into the larger planes, its first plane at plane `z` of `voxels`. */
function place(slab: Slab, from: Shape3, voxels: Float32Array, to: Shape3, before: Shape3, z: number): void {
  for (let k = 0; k < slab.planes; k++) {
    for (let y = 0; y < from[1]; y++) {
      const row = (k * from[1] + y) * from[0]
      voxels.set(slab.voxels.subarray(row, row + from[0]), ((z + k) * to[1] + before[1] + y) * to[0] + before[0])
    }
  }
}

/** x: every row that holds old voxels. */
function fillRows(voxels: Float32Array, [nx, ny]: Shape3, old: Shape3, before: Shape3, mode: PadMode): void {
  const [first, end] = [before[0], before[0] + old[0]]
  if (old[0] === nx) return
  for (let z = before[2]; z < before[2] + old[2]; z++) {
    for (let y = before[1]; y < before[1] + old[1]; y++) {
      const row = voxels.subarray((z * ny + y) * nx, (z * ny + y + 1) * nx)
      let [left, right] = [row[first]!, row[end - 1]!]
      if (mode === 'minimum') {
        for (let x = first; x < end; x++) if (row[x]! < left) left = row[x]!
        right = left
      }
      row.fill(left, 0, first)
      row.fill(right, end)
    }
  }
}

/** y: rows before and after the old ones, full width, in planes that hold old voxels. */
function fillColumns(voxels: Float32Array, [nx, ny]: Shape3, old: Shape3, before: Shape3, mode: PadMode): void {
  for (let z = before[2]; z < before[2] + old[2]; z++) {
    fillLines(voxels.subarray(z * ny * nx, (z + 1) * ny * nx), nx, ny, before[1], old[1], mode)
  }
}

/** z: planes before and after the old ones, full size. */
function fillPlanes(voxels: Float32Array, [nx, ny, nz]: Shape3, old: Shape3, before: Shape3, mode: PadMode): void {
  fillLines(voxels, nx * ny, nz, before[2], old[2], mode)
}

/** `lines` lines of `width`, of which `count` from `first` are there: fills the others. */
function fillLines(
  voxels: Float32Array,
  width: number,
  lines: number,
  first: number,
  count: number,
  mode: PadMode,
): void {
  if (count === lines) return
  const line = (i: number): Float32Array => voxels.subarray(i * width, (i + 1) * width)
  let [front, back] = [line(first), line(first + count - 1)]
  if (mode === 'minimum') {
    front = line(first).slice()
    for (let i = first + 1; i < first + count; i++) {
      const other = line(i)
      for (let x = 0; x < width; x++) if (other[x]! < front[x]!) front[x] = other[x]!
    }
    back = front
  }
  for (let i = 0; i < first; i++) voxels.set(front, i * width)
  for (let i = first + count; i < lines; i++) voxels.set(back, i * width)
}
