/** The planes of a streaming volume that are wanted now, and those that will be wanted next. */

import type { Slab, Volume } from '../pipeline/grid.ts'
import type { Ring } from '../native/windows.ts'

/** Reads a volume in the background into a ring of `depth` planes. */
export class PlaneRing {
  readonly ring: Ring
  /** (depth, y, x); plane z at z % depth. */
  readonly planes: Float32Array
  readonly #source: AsyncIterator<Slab>
  #slab: Slab | undefined
  /** Planes of it that have been copied. */
  #taken = 0
  #end = 0
  #reading: Promise<void> = Promise.resolve()

  constructor(volume: Volume, depth: number) {
    const [nx, ny] = volume.grid.shape
    this.ring = { nx, ny, depth }
    this.planes = new Float32Array(nx * ny * depth)
    this.#source = volume.slabs()[Symbol.asyncIterator]()
  }

  /**
   * Begins to read up to plane `end`, not included; those before `end - depth` are overwritten. `read` tells when they are
   * there, and of what went wrong.
   */
  begin(end: number): void {
    this.#reading = this.#reading.then(() => this.#readTo(end))
    this.#reading.catch(() => undefined)
  }

  read(): Promise<void> {
    return this.#reading
  }

  /** Reads to the end of the volume, past what is wanted, so that damage there is not missed. */
  async finish(): Promise<void> {
    await this.#reading
    this.#slab?.release?.()
    for (let next = await this.#source.next(); !next.done; next = await this.#source.next()) next.value.release?.()
  }

  async close(): Promise<void> {
    await this.#reading.catch(() => undefined)
    await this.#source.return?.()
  }

  async #readTo(end: number): Promise<void> {
    const { nx, ny, depth } = this.ring
    const plane = nx * ny
    while (this.#end < end) {
      if (!this.#slab || this.#taken === this.#slab.planes) {
        this.#slab?.release?.()
        this.#slab = undefined
        const { done, value } = await this.#source.next()
        if (done) throw new Error(`expected plane ${this.#end}, found the end of the volume`)
        this.#slab = value
        this.#taken = 0
      }
      const count = Math.min(end - this.#end, this.#slab.planes - this.#taken)
      for (let i = 0; i < count; i++, this.#taken++, this.#end++) {
        const voxels = this.#slab.voxels.subarray(this.#taken * plane, (this.#taken + 1) * plane)
        this.planes.set(voxels, (this.#end % depth) * plane)
      }
    }
  }
}
