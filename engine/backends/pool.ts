/** Memory of tensors, used again by exact size: a fresh 51 MB array costs more in page faults than many kernels compute. */

import { loadAddon } from '../../native/addon.ts'
import { formatBytes } from '../../pipeline/bytes.ts'
import { PipelineError, messageOf } from '../../pipeline/errors.ts'
import { freeBytes } from '../memory.ts'

/** Below this an ordinary typed array is as good. */
const smallest = 1 << 16

/** From here on the system is asked first: it lends more than it has, and kills the process that uses it. */
const asked = 1 << 26

export interface PoolReport {
  /** Bytes in tensors now. */
  readonly liveBytes: number
  readonly peakLiveBytes: number
  /** The most there ever were in tensors and kept together. */
  readonly peakHeldBytes: number
  /** Bytes kept for the next tensors. */
  readonly pooledBytes: number
}

/**
 * All memory held stays below what was in use at once, at most, times this. A network needs its large tensors and its
 * many small ones at different times, and memory is handed out by exact size: at 1.25 every window of the published network
 * gave back and fetched 13 buffers, a fifth of its time; it holds 1.4 of its maximum.
 */
const slack = 2

export class Pool {
  /** Oldest first. */
  #free: ArrayBuffer[] = []
  readonly #owned = new WeakSet<ArrayBufferLike>()
  #live = 0
  #peak = 0
  #peakHeld = 0
  #pooled = 0
  /** The largest #live ever. */
  #highWater = 0
  readonly #freeBytes: () => number

  /** `free` gives how many bytes the process can still have. */
  constructor(free: () => number = freeBytes) {
    this.#freeBytes = free
  }

  /** Memory for `length` floats, not cleared. ERR_ENGINE when the machine has none. */
  take(length: number): Float32Array {
    const bytes = length * 4
    if (bytes < smallest) return new Float32Array(length)
    const at = this.#free.findLastIndex(buffer => buffer.byteLength === bytes)
    const kept = at < 0 ? undefined : this.#free.splice(at, 1)[0]
    if (kept) this.#pooled -= bytes
    const buffer = kept ?? this.#allocate(bytes)
    this.#live += bytes
    this.#peak = Math.max(this.#peak, this.#live)
    this.#highWater = Math.max(this.#highWater, this.#live)
    return new Float32Array(buffer, 0, length)
  }

  /** Gives memory back; what did not come from here is left to the garbage collector. */
  give(values: unknown): void {
    if (!this.owns(values)) return
    const { buffer } = values
    this.#free.push(buffer)
    this.#live -= buffer.byteLength
    this.#pooled += buffer.byteLength
  }

  /** Whether an array lies in memory of the pool, as a whole or in part. */
  owns(values: unknown): values is Float32Array & { buffer: ArrayBuffer } {
    return values instanceof Float32Array && this.#owned.has(values.buffer)
  }

  /** Frees what no tensor uses. */
  trim(): void {
    this.#shrinkTo(0)
  }

  report(): PoolReport {
    return {
      liveBytes: this.#live,
      peakLiveBytes: this.#peak,
      peakHeldBytes: this.#peakHeld,
      pooledBytes: this.#pooled,
    }
  }

  resetPeak(): void {
    this.#peak = this.#live
    this.#peakHeld = this.#live + this.#pooled
  }

  /** Frees what has waited longest until at most so many bytes wait. */
  #shrinkTo(bytes: number): void {
    const { release } = loadAddon()
    while (this.#pooled > bytes && this.#free.length > 0) {
      const buffer = this.#free.shift()!
      this.#pooled -= buffer.byteLength
      release(buffer)
    }
  }

  #allocate(bytes: number): ArrayBuffer {
    const allocate = (): ArrayBuffer => {
      const free = bytes < asked ? Infinity : this.#freeBytes()
      if (bytes > free) throw new Error(`this process can have ${formatBytes(Math.max(0, free))} more`)
      return loadAddon().allocate(bytes)
    }
    const live = this.#live + bytes
    this.#shrinkTo(slack * Math.max(live, this.#highWater) - live)
    let buffer: ArrayBuffer
    try {
      buffer = allocate()
    } catch {
      // Memory kept for tensors of other sizes may be what is missing.
      this.trim()
      try {
        buffer = allocate()
      } catch (cause) {
        const inUse = formatBytes(this.#live)
        throw new PipelineError(
          'ERR_ENGINE',
          `no memory for a tensor of ${formatBytes(bytes)} beside the ${inUse} in use (${messageOf(cause)}); make the batch or the patch smaller`,
          { bytes, liveBytes: this.#live },
          { cause },
        )
      }
    }
    this.#owned.add(buffer)
    this.#peakHeld = Math.max(this.#peakHeld, this.#live + this.#pooled + bytes)
    return buffer
  }
}
