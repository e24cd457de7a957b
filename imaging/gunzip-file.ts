/** Reading a gzipped file from its beginning: the next bytes come from the disk while those before are inflated. */

import { open, type FileHandle } from 'node:fs/promises'
import { gunzip, gunzipStreamBytes, openGunzip, type GunzipStep } from '../native/gunzip.ts'

/** What the disk gives at once. */
const chunkBytes = 1 << 18

/** Most bytes that a file that is open holds. */
export const gunzipFileBytes = 2 * chunkBytes + gunzipStreamBytes

/** A gzipped file that is open; whoever opens it closes it. One `readInto` at a time. */
export class GunzipFile {
  readonly #file: FileHandle
  readonly #stream = openGunzip()
  readonly #chunks: Uint8Array<ArrayBuffer>[]
  #chunk = new Uint8Array(0)
  #state: GunzipStep['state'] = 'inside'
  #next: Promise<Uint8Array<ArrayBuffer>>

  private constructor(file: FileHandle, bytesAtOnce: number) {
    this.#file = file
    this.#chunks = [new Uint8Array(bytesAtOnce), new Uint8Array(bytesAtOnce)]
    this.#next = this.#readAhead()
  }

  /** `bytesAtOnce` are read from the disk: few for who wants few. */
  static async open(path: string, bytesAtOnce = chunkBytes): Promise<GunzipFile> {
    return new GunzipFile(await open(path), bytesAtOnce)
  }

  /**
   * Fills `to` with the next inflated bytes and gives how many they were: fewer where the stream ends, all of whose
   * checksums and lengths are then right. An error with code Z_DATA_ERROR where it is damaged, Z_BUF_ERROR where the file
   * ends first, the system's where it cannot be read.
   */
  async readInto(to: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < to.length && this.#state !== 'over') {
      if (this.#chunk.length === 0) this.#chunk = await this.#nextChunk()
      if (this.#chunk.length === 0) {
        if (this.#state === 'between') break
        throw zlibError('Z_BUF_ERROR', 'unexpected end of file')
      }
      const { used, made, state, damage } = await gunzip(this.#stream, this.#chunk, to.subarray(filled))
      this.#chunk = this.#chunk.subarray(used)
      this.#state = state
      filled += made
      if (state === 'damaged') throw zlibError('Z_DATA_ERROR', damage!)
    }
    return filled
  }

  /** When nothing is being read any more. */
  async close(): Promise<void> {
    await this.#next.catch(() => {})
    await this.#file.close()
  }

  /** Empty at the file's end. */
  async #nextChunk(): Promise<Uint8Array<ArrayBuffer>> {
    const chunk = await this.#next
    if (chunk.length > 0) this.#next = this.#readAhead()
    return chunk
  }

  /** Into the buffer that is not being inflated. */
  #readAhead(): Promise<Uint8Array<ArrayBuffer>> {
    const buffer = this.#chunks.shift()!
    this.#chunks.push(buffer)
    const reading = this.#file
      .read(buffer, 0, buffer.length, null)
      .then(({ bytesRead }) => buffer.subarray(0, bytesRead))
    reading.catch(() => {}) // told where it is awaited
    return reading
  }
}

/** As node:zlib tells it. */
function zlibError(code: 'Z_DATA_ERROR' | 'Z_BUF_ERROR', message: string): Error {
  return Object.assign(new Error(message), { code })
}
