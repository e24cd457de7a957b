/** Cases to be kept, and what must come back. */

import { join } from 'node:path'
import { openDiskTier, type DiskTier, type DiskTierOptions } from '../../cache/disk-tier.ts'
import type { Entry } from '../../cache/entry.ts'
import { decodeChunk, encode, mostBytes, type Chunk, type Encoding } from '../../cache/chunk.ts'
import { lazyVolume, residentVolume, slabsOf, voxelCount, type LoadedVolume } from '../../imaging/volume.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Key } from '../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { gridOf } from './nifti.ts'

export type Volumes = { readonly [K in Key]?: LoadedVolume }

/** The volume as it comes back out of a cache: the same voxels where the encoding is `exact`. Keeps nothing. */
export function throughEncoding(volume: Volume, encoding: Encoding): Volume {
  return lazyVolume(volume.grid, async function* () {
    for await (const chunk of encode(volume, encoding)) {
      yield { z: chunk.z, planes: chunk.planes, voxels: await decodeChunk(chunk, volume.grid) }
    }
  })
}

/** Extents that are awkward: 1, just around the bricks' extents, or a few dozen. */
export function drawShape(draws: Rng, most = 70): Shape3 {
  const extent = (): number => [1, 31, 32, 33, 64, 65][draws.integer(12)] ?? 1 + draws.integer(most)
  return [extent(), extent(), 1 + draws.integer(12)]
}

/** Voxels in [0, 1] with many zeros, as a clipped CT has them. */
export function drawImage(draws: Rng, shape: Shape3): LoadedVolume {
  const grid = gridOf(shape, [0.8, 0.8, 5])
  const voxels = scattered(draws, voxelCount(grid)).map(value => Math.max(0, value * 1.5 - 0.5))
  const header = Uint8Array.from({ length: 348 }, (_, i) => i)
  return { ...residentVolume(grid, voxels), header, volumes: 1 }
}

export function drawLabel(draws: Rng, shape: Shape3): LoadedVolume {
  const grid = gridOf(shape, [0.8, 0.8, 5])
  return residentVolume(
    grid,
    scattered(draws, voxelCount(grid)).map(value => Math.floor(4 * value)),
  )
}

/** Numbers in [0, 1), from one draw: thousands of draws would take longer than what is tested. */
function scattered(draws: Rng, count: number): Float32Array {
  const start = draws.integer(2 ** 31)
  return Float32Array.from({ length: count }, (_, i) => {
    const mixed = Math.imul((start + i) ^ ((start + i) >>> 15), 0x2c1b3c6d)
    return ((mixed ^ (mixed >>> 12)) >>> 8) / 2 ** 24
  })
}

/** In tests of several processes: case n has the voxels of case n modulo this. */
export const distinctCases = 5

/** The case of that number; the same voxels in every process. */
export function caseOf(number: number, shape?: Shape3): { readonly key: string; readonly volumes: Volumes } {
  const draws = rng(7, number, 0, 'stored case')
  const extents = shape ?? drawShape(draws)
  return { key: `case ${number}`, volumes: { image: drawImage(draws, extents), label: drawLabel(draws, extents) } }
}

/** The volume as slabs of a few planes, views. */
export function streamed(volume: LoadedVolume): LoadedVolume {
  const { resident, ...rest } = volume
  return {
    ...rest,
    async *slabs() {
      yield* slabsOf(volume.grid, resident!)
    },
  }
}

export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** Puts a case into the tier, which is told to expect so many bytes; undefined where it was not kept. */
export async function put(
  tier: DiskTier,
  key: string,
  volumes: Volumes,
  encoding: Encoding = 'exact',
  expected = Object.values(volumes).reduce((sum, { grid }) => sum + mostBytes(grid, encoding), 0),
): Promise<Entry | undefined> {
  const writer = await tier.create(key, expected)
  if (!writer) return undefined
  try {
    for (const [name, volume] of Object.entries(volumes) as [Key, LoadedVolume][]) {
      writer.begin(name, volume)
      for await (const chunk of encode(volume, name === 'image' ? encoding : 'exact')) await writer.append(name, chunk)
    }
    return await writer.commit({ steps: [], zero: -0 })
  } finally {
    await writer.abandon()
  }
}

/** A tier that must have nothing to tell, unless `tell` is given. */
export function tierOf(folder: string, options: Partial<DiskTierOptions> = {}): Promise<DiskTier> {
  return openDiskTier({
    folder: join(folder),
    limitBytes: 2 ** 30,
    keepFreeBytes: 0,
    tell: message => {
      throw new Error(message)
    },
    ...options,
  })
}

/** Bit for bit, NaN and -0 too. */
export function sameBits(a: Float32Array, b: Float32Array): boolean {
  return bytesOf(a).equals(bytesOf(b))
}

function bytesOf(a: Float32Array): Buffer {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength)
}

/** What the addon decodes, in JavaScript's own arithmetic. */
export function decodedBySpecification(chunk: Chunk, plane: number): Float32Array {
  const bytes = chunk.bytes.slice().buffer
  if (chunk.as === 'float32') return new Float32Array(bytes)
  if (chunk.as === 'uint8') return Float32Array.from(new Uint8Array(bytes))
  return Float32Array.from(new Uint16Array(bytes), (code, i) => {
    const [least, step, greatest] = chunk.scales!.subarray(3 * Math.floor(i / plane))
    return code === 65535 ? greatest! : least! + code * step!
  })
}
