/**
 * The mask of a margin on the grid that it was resampled from, without the resampled margin: where that would be above 0, and
 * the same bits. Most of a scan is far from anything above 0 and is passed over.
 */

import { sampleMask, type Sampling } from '../native/voxels.ts'
import type { Grid, SpatialStep, Volume } from '../pipeline/grid.ts'
import { invert } from './invert.ts'
import { runBytes, type StoredPlane } from './mask.ts'
import { isSameGrid, planeWindow, reach, samplingOf } from './resample.ts'
import { slabPlanes } from './volume.ts'

/** Slabs of the mask that are at work at a time, so that one core is not waited for. */
export const masksInFlight = 2

/** Whether the way back along the steps ends with a resampling along the axes, which then need not be made for a mask. */
export function endsSeparably(steps: readonly SpatialStep[]): boolean {
  const first = steps[0]
  if (first?.kind !== 'resample' || isSameGrid(first.to, first.from)) return false
  return samplingOf(first.to, first.from, 'linear').isSeparable
}

interface Made {
  readonly low: number
  readonly memory: Uint8Array
  readonly counts: Promise<readonly number[]>
}

/**
 * Planes of the mask where `invert(steps, margin)` is above 0; the steps are such that `endsSeparably`. Reads the margin to its
 * end. A plane is good until the next is asked for.
 */
export async function* sampledMask(steps: readonly SpatialStep[], margin: Volume): AsyncGenerator<StoredPlane> {
  const volume = invert(steps.slice(1), margin)
  const target = steps[0]!.from
  const sampling = samplingOf(volume.grid, target, 'linear')
  const window = planeWindow(volume, sampling)
  const free: Uint8Array[] = []
  const inFlight: Made[] = []
  const settle = async function* (): AsyncGenerator<StoredPlane> {
    const { memory, counts } = inFlight[0]!
    const made = await counts
    inFlight.shift()
    yield* storedPlanes(memory, made, target)
    free.push(memory)
  }
  try {
    const [nx, ny, nz] = target.shape
    const step = slabPlanes(target)
    for (let z = 0; z < nz; z += step) {
      const planes = Math.min(step, nz - z)
      const [low, high] = reachOf(sampling, z, planes)
      if (inFlight.length === masksInFlight) yield* settle()
      // Those that are being read stay at hand.
      const lowest = Math.min(low, ...inFlight.map(made => made.low))
      const at = await window.planes(lowest, high)
      const memory = free.pop() ?? new Uint8Array(step * nx * ny)
      const counts = sampleMask(sampling, z, at.slice(low - lowest), low, memory.subarray(0, planes * nx * ny))
      counts.catch(() => undefined) // heard when it is its turn
      inFlight.push({ low, memory, counts })
    }
    while (inFlight.length > 0) yield* settle()
    await window.drain()
  } finally {
    await Promise.allSettled(inFlight.map(({ counts }) => counts))
    await window.close()
  }
}

/** First and last input plane that some output planes need, whichever way z runs. */
function reachOf(sampling: Sampling, z: number, planes: number): [number, number] {
  const [first, last] = [reach(sampling, z), reach(sampling, z + planes - 1)]
  return [Math.min(first[0], last[0]), Math.max(first[1], last[1])]
}

function* storedPlanes(memory: Uint8Array, counts: readonly number[], { shape }: Grid): Generator<StoredPlane> {
  const plane = shape[0] * shape[1]
  for (const [k, count] of counts.entries()) {
    const isPacked = count < 0
    yield { bytes: memory.subarray(k * plane, k * plane + (isPacked ? plane : runBytes * count)), isPacked }
  }
}
