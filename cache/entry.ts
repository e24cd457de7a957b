/** Reading the entry of a case: its volumes as regions or slabs, every byte checked before it is used. */

import type { FileHandle } from 'node:fs/promises'
import type { LoadedVolume } from '../imaging/volume.ts'
import { loadAddon } from '../native/addon.ts'
import { storedAs } from '../native/stored.ts'
import type { Key } from '../pipeline/flow.ts'
import type { Shape3, Slab } from '../pipeline/grid.ts'
import { damaged, isDamaged, openChecked, readBytes, type CheckedFile } from './checked-file.ts'
import { bytesPerVoxel, chunkPlanes, type Chunk } from './chunk.ts'
import { brick, bricksPerPlane, keys, parseCrcs, parseHead, type VolumeHead } from './entry-head.ts'
import type { Json } from './plain-text.ts'
import { chunksOf, expectInside, type StoredVolume } from './stored-volume.ts'

/**
 * An entry that is open. It stays readable though its file be removed meanwhile. Where a read finds that something is
 * not what was written, it rejects with what `isDamaged` knows, the file is removed, and the case must be computed anew.
 */
export interface Entry {
  readonly path: string
  /** Bytes of the file. */
  readonly bytes: number
  /** What was handed to the writer's `commit`. */
  readonly facts: Json
  readonly volumes: { readonly [K in Key]?: StoredVolume }
  /** Bytes that were read of the file so far, checks included. */
  readonly bytesRead: number
  /** When nobody reads any more, closes the file; reading afterwards is a bug and says so. */
  close(): Promise<void>
}

/**
 * Opens an entry. Undefined where there is none; throws what `isDamaged` knows where it is not what was written or belongs to
 * another key. `onDamage` is called once when a later read finds damage.
 */
export async function openEntry(path: string, key: string, onDamage: () => void): Promise<Entry | undefined> {
  const file = await openChecked(path)
  if (!file) return undefined
  const head = parseHead(file.head, file.end)
  if (!head || head.key !== key) {
    await file.file.close().catch(() => {})
    throw damaged(path, head ? 'it belongs to another case' : 'head')
  }
  const source = new Source(file, onDamage)
  const volumes: { [K in Key]?: StoredVolume } = {}
  for (const name of keys) {
    const volume = head.volumes[name]
    if (volume) volumes[name] = new InFile(source, volume)
  }
  return {
    path,
    bytes: file.bytes,
    facts: head.facts,
    volumes,
    get bytesRead() {
      return source.bytesRead
    },
    close: () => source.close(),
  }
}

/** An open file that several read. */
class Source {
  readonly path: string
  bytesRead: number
  readonly #file: FileHandle
  #onDamage: (() => void) | undefined
  #readers = 0
  #closing: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor({ path, file, bytesRead }: CheckedFile, onDamage: () => void) {
    this.path = path
    this.bytesRead = bytesRead
    this.#file = file
    this.#onDamage = onDamage
  }

  async read<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    if (this.#closing) throw new Error(`${this.path}: a cache entry was read after it had been closed`)
    this.#readers += 1
    try {
      return await work(this.#file)
    } catch (error) {
      if (isDamaged(error)) {
        this.#onDamage?.()
        this.#onDamage = undefined
      }
      throw error
    } finally {
      this.#end()
    }
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#whenIdle().then(() => this.#file.close()))
  }

  #whenIdle(): Promise<void> {
    return this.#readers === 0 ? Promise.resolve() : new Promise(resolve => (this.#idle = resolve))
  }

  #end(): void {
    this.#readers -= 1
    if (this.#readers === 0) this.#idle?.()
  }
}

class InFile implements StoredVolume {
  readonly bytes: number
  readonly volume: LoadedVolume
  readonly #source: Source
  readonly #head: VolumeHead
  #crcs: Promise<Int32Array> | undefined

  constructor(source: Source, head: VolumeHead) {
    this.#source = source
    this.#head = head
    const { grid, header, volumes, chunks, scales } = head
    const plane = grid.shape[0] * grid.shape[1]
    const hasScales = chunks.some(({ as }) => as === 'uint16')
    this.bytes =
      chunks.reduce((sum, { planes, as }) => sum + planes * plane * bytesPerVoxel[as], 0) +
      (hasScales ? scales.byteLength : 0)
    this.volume = {
      grid,
      ...(header && { header }),
      ...(volumes !== undefined && { volumes }),
      slabs: () => this.#slabs(),
      region: (start, shape) => this.#region(start, shape),
    }
  }

  async *chunks(): AsyncGenerator<Chunk> {
    const [nx, ny] = this.#head.grid.shape
    for (const { z, planes, as } of this.#head.chunks) {
      const bytes = new Uint8Array(nx * ny * planes * bytesPerVoxel[as])
      await this.#read([0, 0, z], [nx, ny, planes], bytes)
      const scales = as === 'uint16' && { scales: this.#head.scales.slice(3 * z, 3 * (z + planes)) }
      yield { z, planes, as, bytes, ...scales }
    }
  }

  async *#slabs(): AsyncGenerator<Slab> {
    const [nx, ny] = this.#head.grid.shape
    for (const { z, planes } of this.#head.chunks)
      yield { z, planes, voxels: await this.#region([0, 0, z], [nx, ny, planes]) }
  }

  async #region(start: Shape3, shape: Shape3): Promise<Float32Array> {
    expectInside(this.#head.grid, start, shape)
    const voxels = new Float32Array(shape[0] * shape[1] * shape[2])
    await this.#read(start, shape, voxels)
    return voxels
  }

  /** A box: decoded into floats, or as stored into bytes. */
  async #read(start: Shape3, shape: Shape3, to: Float32Array | Uint8Array): Promise<void> {
    const { grid } = this.#head
    const box = [grid.shape[0], grid.shape[1], ...brick, start[0], start[1], shape[0], shape[1]]
    await this.#source.read(async file => {
      const crcs = await (this.#crcs ??= this.#readCrcs(file))
      const planes = this.#planes(start[2], shape[2])
      const isRaw = to instanceof Uint8Array
      const [bytes, isWrong, error] = await loadAddon().readBricks(file.fd, box, planes, crcs, to, isRaw)
      this.#source.bytesRead += bytes
      if (isWrong || error !== 0) throw damaged(this.#source.path, isWrong ? 'voxels' : `system error ${error}`)
    })
  }

  /** What the addon wants to know of planes [z, z + depth). */
  #planes(z: number, depth: number): Float64Array {
    const { grid, chunks, scales } = this.#head
    const plane = grid.shape[0] * grid.shape[1]
    const rows = new Float64Array(6 * depth)
    for (const { chunk, first, planes } of chunksOf(chunks, chunkPlanes(grid), z, depth)) {
      for (let k = first; k < first + planes; k++) {
        const offset = chunk.offset + (k - chunk.z) * plane * bytesPerVoxel[chunk.as]
        rows.set([offset, storedAs[chunk.as], k * bricksPerPlane(grid)], 6 * (k - z))
        rows.set(scales.subarray(3 * k, 3 * k + 3), 6 * (k - z) + 3)
      }
    }
    return rows
  }

  async #readCrcs(file: FileHandle): Promise<Int32Array> {
    const { grid, crcs } = this.#head
    const length = 4 * bricksPerPlane(grid) * grid.shape[2]
    const bytes = await readBytes(file, crcs.offset, length, this.#source.path)
    this.#source.bytesRead += length
    const table = parseCrcs(bytes, crcs.crc)
    if (!table) throw damaged(this.#source.path, 'checksums')
    return table
  }
}
