/** Volumes that are kept encoded: what memory and file have in common, and the one in memory. */

import type { LoadedVolume } from '../imaging/volume.ts'
import { loadAddon } from '../native/addon.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Shape3, Slab } from '../pipeline/grid.ts'
import { chunkPlanes, decodeBox, decodeChunk, encode, type Chunk, type Encoding } from './chunk.ts'

/** A volume in encoded chunks, in memory or in a file. */
export interface StoredVolume {
  /** Bytes of its voxels as stored, scales included. */
  readonly bytes: number
  /** Decodes what is asked of it: slabs of a few planes, or a region. What the stages attached to the volume is there. */
  readonly volume: LoadedVolume
  /** In ascending z; to keep them elsewhere. */
  chunks(): AsyncIterable<Chunk>
}

/** A stored volume in memory. */
export interface VolumeInMemory extends StoredVolume {
  /**
   * Gives the memory back as soon as nobody reads; again, nothing happens. Reading afterwards is a bug and says so. Chunks that
   * were handed out must no longer be in use.
   */
  release(): void
}

/** Pulls a volume once and keeps it encoded. */
export async function keep(volume: LoadedVolume, encoding: Encoding): Promise<VolumeInMemory> {
  return collect(volume, encode(volume, encoding))
}

/** Takes a volume out of a file into memory as it is, without decoding it. */
export async function toMemory(stored: StoredVolume): Promise<VolumeInMemory> {
  return collect(stored.volume, stored.chunks())
}

async function collect(source: LoadedVolume, chunks: AsyncIterable<Chunk>): Promise<VolumeInMemory> {
  const kept: Chunk[] = []
  try {
    for await (const chunk of chunks) kept.push(chunk)
  } catch (error) {
    kept.forEach(free)
    throw error
  }
  return new InMemory(source, kept)
}

class InMemory implements VolumeInMemory {
  readonly bytes: number
  readonly volume: LoadedVolume
  #chunks: readonly Chunk[]
  #readers = 0
  #released = false

  constructor(source: LoadedVolume, chunks: readonly Chunk[]) {
    this.#chunks = chunks
    this.bytes = chunks.reduce((sum, { bytes, scales }) => sum + bytes.length + (scales?.byteLength ?? 0), 0)
    const { resident: _, ...attached } = source
    this.volume = {
      ...attached,
      slabs: () => this.#slabs(),
      region: (start, shape) => this.#region(start, shape),
    }
  }

  async *chunks(): AsyncGenerator<Chunk> {
    this.#begin()
    try {
      yield* this.#chunks
    } finally {
      this.#end()
    }
  }

  release(): void {
    this.#released = true
    this.#freeIfUnused()
  }

  async *#slabs(): AsyncGenerator<Slab> {
    for await (const chunk of this.chunks()) {
      yield { z: chunk.z, planes: chunk.planes, voxels: await decodeChunk(chunk, this.volume.grid) }
    }
  }

  async #region(start: Shape3, shape: Shape3): Promise<Float32Array> {
    const { grid } = this.volume
    expectInside(grid, start, shape)
    this.#begin()
    try {
      const voxels = new Float32Array(shape[0] * shape[1] * shape[2])
      const plane = shape[0] * shape[1]
      for (const { chunk, first, planes } of chunksOf(this.#chunks, chunkPlanes(grid), start[2], shape[2])) {
        const at = (first - start[2]) * plane
        await decodeBox(
          chunk,
          [grid.shape[0], grid.shape[1], chunk.planes],
          [start[0], start[1], first - chunk.z, shape[0], shape[1], planes],
          voxels.subarray(at, at + planes * plane),
        )
      }
      return voxels
    } finally {
      this.#end()
    }
  }

  #begin(): void {
    if (this.#released) throw new Error('a cached volume was read after its memory had been given back')
    this.#readers += 1
  }

  #end(): void {
    this.#readers -= 1
    this.#freeIfUnused()
  }

  #freeIfUnused(): void {
    if (!this.#released || this.#readers > 0) return
    this.#chunks.forEach(free)
    this.#chunks = []
  }
}

/** The garbage collector would come for it too, but later. */
function free({ bytes }: Chunk): void {
  if (bytes.buffer.byteLength > 0) loadAddon().release(bytes.buffer as ArrayBuffer)
}

/** The chunks that planes [z, z + depth) lie in, and which of these planes. */
export function* chunksOf<T extends { readonly z: number; readonly planes: number }>(
  chunks: readonly T[],
  step: number,
  z: number,
  depth: number,
): Generator<{ readonly chunk: T; readonly first: number; readonly planes: number }> {
  for (let first = z; first < z + depth;) {
    const chunk = chunks[Math.floor(first / step)]!
    const end = Math.min(z + depth, chunk.z + chunk.planes)
    yield { chunk, first, planes: end - first }
    first = end
  }
}

/** ERR_VOLUME where a box leaves the grid or is empty. */
export function expectInside(grid: Grid, start: Shape3, shape: Shape3): void {
  const fits = [0, 1, 2].every(axis => {
    const [from, n] = [start[axis]!, shape[axis]!]
    return Number.isInteger(from) && Number.isInteger(n) && from >= 0 && n >= 1 && from + n <= grid.shape[axis]!
  })
  if (fits) return
  throw new PipelineError(
    'ERR_VOLUME',
    `expected a box inside ${grid.shape.join(' x ')} voxels, found ${shape.join(' x ')} from (${start.join(', ')})`,
    { start, shape },
  )
}
