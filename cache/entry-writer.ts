/** Writing the entry of a case, chunk by chunk, while its volumes are being pulled. */

import { crc32 } from 'node:zlib'
import type { LoadedVolume } from '../imaging/volume.ts'
import { loadAddon } from '../native/addon.ts'
import type { Key } from '../pipeline/flow.ts'
import { bytesPerVoxel, type Chunk } from './chunk.ts'
import type { GrowingFile } from './checked-file.ts'
import { brick, bricksPerPlane, headOf, type ChunkHead, type VolumeHead } from './entry-head.ts'
import type { Json } from './plain-text.ts'

/** The volumes of one case on their way into a file; the file is the caller's to publish or to abandon. */
export class EntryBody {
  readonly #file: GrowingFile
  readonly #volumes = new Map<Key, VolumeBody>()

  constructor(file: GrowingFile) {
    this.#file = file
  }

  /** Begins a volume; its chunks come in ascending z, those of several volumes as they like. */
  begin(name: Key, volume: LoadedVolume): void {
    const { grid } = volume
    const planes = grid.shape[2]
    const crcs = new Int32Array(bricksPerPlane(grid) * planes)
    this.#volumes.set(name, { volume, chunks: [], scales: new Float32Array(3 * planes), crcs })
  }

  async append(name: Key, { z, planes, as, bytes, scales }: Chunk): Promise<void> {
    const body = this.#volumes.get(name)!
    const { grid } = body.volume
    const perPlane = bricksPerPlane(grid)
    const bricks = new Uint8Array(bytes.length)
    const shape = [grid.shape[0], grid.shape[1], planes, ...brick]
    const crcs = body.crcs.subarray(z * perPlane, (z + planes) * perPlane)
    await loadAddon().brickPlanes(bytes, bytesPerVoxel[as], shape, bricks, crcs)
    if (scales) body.scales.set(scales, 3 * z)
    body.chunks.push({ z, planes, as, offset: await this.#file.append(bricks) })
  }

  /** Writes the checksums and the head, and closes the file. */
  async finish(key: string, facts: Json): Promise<void> {
    const volumes: { [K in Key]?: VolumeHead } = {}
    for (const [name, { volume, chunks, scales, crcs }] of this.#volumes) {
      const planes = chunks.reduce((sum, chunk) => sum + chunk.planes, 0)
      if (planes !== volume.grid.shape[2])
        throw new Error(`${name}: ${volume.grid.shape[2]} planes were begun, ${planes} came`)
      const table = new Uint8Array(crcs.buffer)
      volumes[name] = {
        grid: volume.grid,
        ...(volume.header && { header: volume.header }),
        ...(volume.volumes !== undefined && { volumes: volume.volumes }),
        chunks,
        scales,
        crcs: { offset: await this.#file.append(table), crc: crc32(table) },
      }
    }
    await this.#file.finish(headOf({ key, facts, volumes }))
  }
}

interface VolumeBody {
  readonly volume: LoadedVolume
  readonly chunks: ChunkHead[]
  readonly scales: Float32Array
  readonly crcs: Int32Array
}
