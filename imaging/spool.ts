/** Bytes put aside for a while: what is much goes to a file that nobody sees. */

import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { notWritable } from '../pipeline/not-writable.ts'

/** Bytes kept in memory before a file takes them. */
export const residentSpoolBytes = 4 << 20

/**
 * Pieces that are appended and read back, each whole, in any order: the first ones in memory, and from some megabytes on in a
 * nameless file in `scratch`; without a folder all in memory. ERR_OUTPUT where it cannot be written.
 */
export class Spool {
  readonly #scratch: string | undefined
  #parts: { readonly at: number; readonly bytes: Uint8Array }[] = []
  #kept = 0
  #end = 0
  /** Bytes that are in the file. */
  #written = 0
  #file: number | undefined

  constructor(scratch?: string) {
    this.#scratch = scratch
  }

  append(bytes: Uint8Array): void {
    this.#parts.push({ at: this.#end, bytes })
    this.#end += bytes.length
    this.#kept += bytes.length
    if (this.#kept > residentSpoolBytes && this.#scratch !== undefined) this.#spill(this.#scratch)
  }

  /** The piece of `length` bytes that begins at byte `at` of all that was appended; not to be written to. */
  read(at: number, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0)
    if (at >= this.#written) return this.#find(at).bytes
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const count = this.#readPart(bytes, done, at + done)
      if (count === 0) throw new PipelineError('ERR_OUTPUT', 'a temporary file has become shorter meanwhile')
      done += count
    }
    return bytes
  }

  /** Again, nothing happens. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    this.#parts = []
  }

  #readPart(bytes: Uint8Array, from: number, at: number): number {
    try {
      return readSync(this.#file!, bytes, from, bytes.length - from, at)
    } catch (error) {
      throw new PipelineError(
        'ERR_OUTPUT',
        `a temporary file in ${this.#scratch} cannot be read: ${messageOf(error)}; check the disk, or choose another "output"`,
        { path: this.#scratch },
        { cause: error },
      )
    }
  }

  #find(at: number): { readonly bytes: Uint8Array } {
    let [low, high] = [0, this.#parts.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#parts[middle]!.at <= at) low = middle
      else high = middle - 1
    }
    // Planes without runs are empty: of several at one place the last has the bytes.
    return this.#parts[low]!
  }

  #spill(scratch: string): void {
    const path = join(scratch, `.${randomUUID()}.spool`)
    try {
      if (this.#file === undefined) {
        this.#file = openSync(path, 'wx+')
        // Its name goes at once, so that nobody has to tidy up after a run that was killed.
        rmSync(path)
      }
      for (const { bytes } of this.#parts) {
        for (let done = 0; done < bytes.length;)
          done += writeSync(this.#file, bytes, done, bytes.length - done, this.#written + done)
        this.#written += bytes.length
      }
    } catch (error) {
      throw notWritable(path, error)
    }
    this.#parts = []
    this.#kept = 0
  }
}
