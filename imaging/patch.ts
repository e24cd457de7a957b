/**
 * Mirrors, quarter turns and shifts of voxels (z, y, x) in memory. They change how voxels are read; nothing is computed before
 * somebody takes the voxels, and then each moves once, whatever was done. Made for patches, which are for learning, not for the
 * world: affines are not kept up to date.
 */

import type { Shape3, Slab, Volume } from '../pipeline/grid.ts'

/** How voxels of an array are read as those of another grid. */
interface Reading {
  readonly voxels: Float32Array
  /** Where the first voxel lies, and how far the next one along x, y, z is, in elements. */
  readonly start: number
  readonly steps: Shape3
  /** Added one after the other, each sum rounded to float32. */
  readonly shifts: readonly number[]
}

interface Read extends Volume {
  readonly reading: Reading
}

/** Mirrored along `axis` (0 = x, 1 = y, 2 = z). */
export function mirrored(volume: Volume, axis: number): Volume {
  const { shape } = volume.grid
  const reading = readingOf(volume)
  const { start, steps } = reading
  return read(volume, shape, {
    ...reading,
    start: start + (shape[axis]! - 1) * steps[axis]!,
    steps: steps.map((step, i) => (i === axis ? -step : step)) as unknown as Shape3,
  })
}

/**
 * Turned by `turns` quarters from x towards y: numpy's rot90(a, turns, (0, 1)) on a[x, y, z]. The shape of an odd turn is
 * (y, x, z).
 */
export function turned(volume: Volume, turns: number): Volume {
  const quarters = ((turns % 4) + 4) % 4
  if (quarters === 0) return volume
  const [x, y, z] = volume.grid.shape
  const reading = readingOf(volume)
  const { start, steps } = reading
  const [stepX, stepY, stepZ] = steps
  if (quarters === 2)
    return read(volume, [x, y, z], {
      ...reading,
      start: start + (x - 1) * stepX + (y - 1) * stepY,
      steps: [-stepX, -stepY, stepZ],
    })
  return read(
    volume,
    [y, x, z],
    quarters === 1
      ? { ...reading, start: start + (y - 1) * stepY, steps: [-stepY, stepX, stepZ] } // out[i, j] = in[j, y - 1 - i]
      : { ...reading, start: start + (x - 1) * stepX, steps: [stepY, -stepX, stepZ] }, // out[i, j] = in[x - 1 - j, i]
  )
}

/** With `by` added to every voxel, rounded to float32. */
export function shifted(volume: Volume, by: number): Volume {
  const reading = readingOf(volume)
  return read(volume, volume.grid.shape, { ...reading, shifts: [...reading.shifts, by] })
}

/** Writes the voxels (z, y, x) of a volume in memory from `at` on, as the array converts them. */
export function copyVoxels(volume: Volume, to: Float32Array | Uint8Array, at: number): void {
  const reading = readingOf(volume)
  const { shape } = volume.grid
  if (isPlain(reading, shape)) to.set(reading.voxels, at)
  else if (to instanceof Float32Array) gather(reading, shape, to, at)
  else {
    const floats = new Float32Array(shape[0] * shape[1] * shape[2])
    gather(reading, shape, floats, 0)
    to.set(floats, at)
  }
}

function readingOf(volume: Volume): Reading {
  if ('reading' in volume) return (volume as Read).reading
  const [x, y] = volume.grid.shape
  return { voxels: volume.resident!, start: 0, steps: [1, x, x * y], shifts: [] }
}

function read({ grid }: Volume, shape: Shape3, reading: Reading): Read {
  let voxels: Float32Array | undefined
  const taken = (): Float32Array => {
    if (!voxels) gather(reading, shape, (voxels = new Float32Array(shape[0] * shape[1] * shape[2])), 0)
    return voxels
  }
  return {
    grid: { ...grid, shape },
    reading,
    get resident() {
      return taken()
    },
    async *slabs(): AsyncGenerator<Slab> {
      yield { z: 0, planes: shape[2], voxels: taken() }
    },
  }
}

function isPlain({ steps, shifts }: Reading, [x, y]: Shape3): boolean {
  return shifts.length === 0 && steps[0] === 1 && steps[1] === x && steps[2] === x * y
}

function gather({ voxels, start, steps, shifts }: Reading, [nx, ny, nz]: Shape3, to: Float32Array, at: number): void {
  const [stepX, stepY, stepZ] = steps
  const [first, ...more] = shifts
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++, at += nx) {
      const from = start + z * stepZ + y * stepY
      if (first !== undefined) for (let x = 0, i = from; x < nx; x++, i += stepX) to[at + x] = voxels[i]! + first
      else if (stepX === 1) to.set(voxels.subarray(from, from + nx), at)
      else for (let x = 0, i = from; x < nx; x++, i += stepX) to[at + x] = voxels[i]!
      for (const shift of more) for (let x = at; x < at + nx; x++) to[x]! += shift
    }
  }
}
