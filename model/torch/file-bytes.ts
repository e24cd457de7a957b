/** Reading a checkpoint's bytes by position: nothing is allocated for what a file merely claims to hold. */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { PipelineError } from '../../pipeline/errors.ts'

/** As much as one call reads. */
const maxRead = 2 ** 31 - 1

/** An open file. Whoever opens it closes it. */
export class FileBytes {
  readonly path: string
  readonly fd: number
  readonly size: number

  /** ERR_WEIGHTS where there is no such file, or no file at all. */
  constructor(path: string) {
    this.path = path
    try {
      // Not to wait for whoever might write to a pipe.
      this.fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code
      const why = reason === 'ENOENT' ? 'there is no such file' : (cause as Error).message
      throw new PipelineError('ERR_WEIGHTS', `${path}: expected a checkpoint, ${why}`, { path }, { cause })
    }
    const stat = fstatSync(this.fd)
    if (!stat.isFile()) {
      closeSync(this.fd)
      throw new PipelineError(
        'ERR_WEIGHTS',
        `${path}: expected a checkpoint, found ${stat.isDirectory() ? 'a folder' : 'a pipe or a device; save it as a file first'}`,
        { path },
      )
    }
    this.size = stat.size
  }

  /** `length` bytes from `at`. ERR_WEIGHTS, before anything is allocated, where the file ends earlier. */
  read(at: number, length: number): Buffer {
    if (at < 0 || length < 0 || at + length > this.size)
      throw damaged(this.path, `expected ${length} bytes at byte ${at}, found a file of ${this.size} bytes: truncated?`)
    if (length > maxRead)
      throw new PipelineError(
        'ERR_WEIGHTS',
        `${this.path}: expected storages of at most ${maxRead} bytes, found one of ${length}; save each tensor by itself: {name: tensor.clone() for name, tensor in state_dict.items()}`,
        { path: this.path },
      )
    const bytes = Buffer.allocUnsafe(length)
    let done = 0
    while (done < length) {
      const count = readSync(this.fd, bytes, done, length - done, at + done)
      if (count === 0) throw damaged(this.path, `the file ended at byte ${at + done} while it was read`)
      done += count
    }
    return bytes
  }

  close(): void {
    closeSync(this.fd)
  }
}

/** Bytes of a region of a file one after the other, through a window of a few kilobytes. */
export class ByteCursor {
  readonly file: FileBytes
  readonly #end: number
  #window: Buffer = Buffer.alloc(0)
  #windowAt: number
  #at: number

  constructor(file: FileBytes, start = 0, end = file.size) {
    this.file = file
    this.#at = start
    this.#windowAt = start
    this.#end = end
  }

  /** Where the next byte lies in the file. */
  get position(): number {
    return this.#at
  }

  /** Bytes up to the end of the region. */
  get remaining(): number {
    return this.#end - this.#at
  }

  byte(): number {
    const from = this.#at - this.#windowAt
    if (from >= this.#window.length) return this.take(1)[0]!
    this.#at++
    return this.#window[from]!
  }

  /** A view of the next bytes, valid until the next call. */
  take(length: number): Buffer {
    if (length > this.remaining)
      throw damaged(this.file.path, `expected ${length} more bytes at byte ${this.#at}, found ${this.remaining}`)
    const from = this.#at - this.#windowAt
    this.#at += length
    if (from + length <= this.#window.length) return this.#window.subarray(from, from + length)
    this.#windowAt += from
    this.#window = this.file.read(this.#windowAt, Math.max(length, Math.min(windowBytes, this.#end - this.#windowAt)))
    return this.#window.subarray(0, length)
  }

  /** Passes over bytes without reading them. */
  skip(length: number): void {
    this.#at += length
    this.#windowAt = this.#at
    this.#window = Buffer.alloc(0)
  }

  /** Text up to the next line feed, without it; names in pickles end so. */
  line(): string {
    const bytes: number[] = []
    for (let byte = this.byte(); byte !== 0x0a; byte = this.byte()) {
      bytes.push(byte)
      if (bytes.length > maxLine)
        throw damaged(this.file.path, `expected a name that ends within ${maxLine} bytes at byte ${this.#at}`)
    }
    return Buffer.from(bytes).toString('utf8')
  }
}

const windowBytes = 1 << 16
const maxLine = 1024

/** A checkpoint that cannot be read: what was expected and what was found. */
export function damaged(path: string, what: string): PipelineError {
  return new PipelineError('ERR_WEIGHTS', `${path}: not a sound PyTorch checkpoint: ${what}`, { path })
}
