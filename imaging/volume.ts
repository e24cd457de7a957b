/** Volumes made of slabs: building, mapping, cutting and materialising them. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Slab, Volume } from '../pipeline/grid.ts'
import type { DicomSeries } from './dicom/series-facts.ts'

/** A volume that came from a file; stages hand `header` on, so that a mask can take the scan's own geometry. */
export interface LoadedVolume extends Volume {
  /** The first 348 or 540 bytes of the scan's NIfTI file. */
  readonly header?: Uint8Array
  /** How many volumes the file holds; 1 for anything that may be worked on. */
  readonly volumes?: number
  /** The DICOM series that it is; what refers to the scan takes patient, study and instances from here. */
  readonly series?: DicomSeries
}

/** Bytes of float32 voxels in one slab, about: large enough to be fast, small beside any volume. */
export const wantedSlabBytes = 4 << 20

/** Number of voxels of a grid. */
export function voxelCount(grid: Grid): number {
  return grid.shape[0] * grid.shape[1] * grid.shape[2]
}

/** How many planes a slab of this grid should have; at least 1. */
export function slabPlanes(grid: Grid): number {
  const plane = grid.shape[0] * grid.shape[1] * 4
  return Math.max(1, Math.min(grid.shape[2], Math.floor(wantedSlabBytes / plane)))
}

/** Bytes of a slab of this grid. */
export function slabBytes(grid: Grid): number {
  return slabPlanes(grid) * grid.shape[0] * grid.shape[1] * 4
}

/** A volume whose voxels (z, y, x) are already in memory; `voxels` is shared, not copied: its slabs are views. */
export function residentVolume(grid: Grid, voxels: Float32Array): Volume {
  if (voxels.length !== voxelCount(grid)) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected ${voxelCount(grid)} voxels for a ${grid.shape.join(' x ')} grid, found ${voxels.length}`,
    )
  }
  return {
    grid,
    resident: voxels,
    async *slabs(): AsyncGenerator<Slab> {
      yield* slabsOf(grid, voxels)
    },
  }
}

/** A volume that calls `pull` anew each time somebody reads it. */
export function lazyVolume(grid: Grid, pull: () => AsyncIterable<Slab>): Volume {
  return { grid, slabs: pull }
}

/** `to` with the scan's header that `from` carries, if any. */
export function carryHeader(from: Volume, to: Volume): Volume {
  const { header } = from as LoadedVolume
  return header ? ({ ...to, header } as LoadedVolume) : to
}

/** Writes what becomes of `from` to `to`, of equal length and maybe the same array. */
export type VoxelWork = (
  from: Float32Array,
  to: Float32Array,
  place: { readonly z: number; readonly planes: number },
) => Promise<void>

/** The same grid, every voxel through `work`, slab by slab, or box by box where the volume can be read so. */
export function mapVoxels(volume: Volume, work: VoxelWork): Volume {
  const { region } = volume
  const mapped = lazyVolume(volume.grid, async function* () {
    const memory = new SlabMemory()
    for await (const slab of volume.slabs()) {
      // Voxels that live on elsewhere stay as they are.
      const to = slab.release ? slab : memory.slab(slab.z, slab.planes, slab.voxels.length)
      await work(slab.voxels, to.voxels, slab)
      yield to
    }
  })
  if (!region) return mapped
  return {
    ...mapped,
    async region(start, shape) {
      const voxels = await region(start, shape)
      await work(voxels, voxels, { z: start[2], planes: shape[2] })
      return voxels
    },
  }
}

/**
 * Memory for the slabs of one pull. What readers give back is used again, so that a long volume takes no more than a
 * short one; what they keep stays theirs.
 */
export class SlabMemory {
  readonly #free: Float32Array[] = []

  /** A slab of `count` voxels, not cleared. */
  slab(z: number, planes: number, count: number): Slab {
    const at = this.#free.findIndex(({ length }) => length >= count)
    const memory = at < 0 ? new Float32Array(count) : this.#free.splice(at, 1)[0]!
    let isReleased = false
    return {
      z,
      planes,
      voxels: memory.length === count ? memory : memory.subarray(0, count),
      release: () => {
        if (!isReleased) this.#free.push(memory)
        isReleased = true
      },
    }
  }
}

/** Resident voxels as slabs of a few planes, views and no copies. */
export function* slabsOf(grid: Grid, voxels: Float32Array): Generator<Slab> {
  const plane = grid.shape[0] * grid.shape[1]
  const step = slabPlanes(grid)
  for (let z = 0; z < grid.shape[2]; z += step) {
    const planes = Math.min(step, grid.shape[2] - z)
    yield { z, planes, voxels: voxels.subarray(z * plane, (z + planes) * plane) }
  }
}

/**
 * The volume plane by plane, for walking several volumes of one shape side by side. A plane is good until the next is asked
 * for.
 */
export async function* planesOf(volume: Volume): AsyncGenerator<Float32Array> {
  const plane = volume.grid.shape[0] * volume.grid.shape[1]
  for await (const slab of volume.slabs()) {
    for (let k = 0; k < slab.planes; k++) yield slab.voxels.subarray(k * plane, (k + 1) * plane)
    slab.release?.()
  }
}

/** Planes of two volumes of one shape, views of their slabs; good until the next are asked for. */
export async function* sideBySide(
  a: Volume,
  b: Volume,
): AsyncGenerator<{
  readonly z: number
  readonly planes: number
  readonly voxels: readonly [Float32Array, Float32Array]
}> {
  const plane = a.grid.shape[0] * a.grid.shape[1]
  const sources = [a.slabs()[Symbol.asyncIterator](), b.slabs()[Symbol.asyncIterator]()]
  const slabs: Slab[] = []
  try {
    for (let z = 0; z < a.grid.shape[2];) {
      await Promise.all(
        sources.map(async (source, i) => {
          const slab = slabs[i]
          if (slab && z < slab.z + slab.planes) return
          slab?.release?.()
          const { done, value } = await source.next()
          if (done) throw new Error(`expected plane ${z}, found the end of the volume`)
          slabs[i] = value
        }),
      )
      const planes = Math.min(...slabs.map(slab => slab.z + slab.planes)) - z
      const [first, second] = slabs.map(slab =>
        slab.voxels.subarray((z - slab.z) * plane, (z - slab.z + planes) * plane),
      )
      yield { z, planes, voxels: [first!, second!] }
      z += planes
    }
    // To the end, where what is damaged shows.
    await Promise.all(sources.map(source => source.next()))
  } finally {
    await Promise.all(sources.map(source => source.return?.()))
  }
}

/** All voxels (z, y, x). Pulls the whole volume unless it is resident; then no copy is made, nor of a single slab. */
export async function materialise(volume: Volume): Promise<Float32Array> {
  if (volume.resident) return volume.resident
  const plane = volume.grid.shape[0] * volume.grid.shape[1]
  let voxels: Float32Array | undefined
  let next = 0
  for await (const slab of volume.slabs()) {
    if (slab.release && slab.planes === volume.grid.shape[2]) voxels = slab.voxels
    voxels ??= new Float32Array(plane * volume.grid.shape[2])
    if (slab.z !== next) throw new Error(`slabs out of order: expected plane ${next}, found ${slab.z}`)
    if (voxels !== slab.voxels) {
      voxels.set(slab.voxels, slab.z * plane)
      slab.release?.()
    }
    next += slab.planes
  }
  if (!voxels || next !== volume.grid.shape[2])
    throw new Error(`expected ${volume.grid.shape[2]} planes, found ${next}`)
  return voxels
}
