/** Memory of tensors, used again by exact size: a fresh 51 MB array costs more in page faults than many kernels compute. */

import { loadAddon } from '../../native/addon.ts'

/** Below this an ordinary typed array is as good. */
const smallest = 1 << 16

export interface PoolReport {
  /** Bytes in tensors now. */
  readonly liveBytes: number
  readonly peakLiveBytes: number
  /** Bytes kept for the next tensors. */
  readonly pooledBytes: number
}

export class Pool {
  readonly #free = new Map<number, ArrayBuffer[]>()
  readonly #owned = new WeakSet<ArrayBufferLike>()
  #live = 0
  #peak = 0
  #pooled = 0

  /** Memory for `length` floats, not cleared. */
  take(length: number): Float32Array {
    const bytes = length * 4
    if (bytes < smallest) return new Float32Array(length)
    const kept = this.#free.get(bytes)?.pop()
    if (kept) this.#pooled -= bytes
    const buffer = kept ?? this.#allocate(bytes)
    this.#live += bytes
    this.#peak = Math.max(this.#peak, this.#live)
    return new Float32Array(buffer, 0, length)
  }

  /** Gives memory back; what did not come from here is left to the garbage collector. */
  give(values: unknown): void {
    if (!this.owns(values)) return
    const { buffer } = values
    const bytes = buffer.byteLength
    const same = this.#free.get(bytes)
    if (same) same.push(buffer)
    else this.#free.set(bytes, [buffer])
    this.#live -= bytes
    this.#pooled += bytes
  }

  /** Whether an array lies in memory of the pool, as a whole or in part. */
  owns(values: unknown): values is Float32Array & { buffer: ArrayBuffer } {
    return values instanceof Float32Array && this.#owned.has(values.buffer)
  }

  /** Frees what no tensor uses. */
  trim(): void {
    const { release } = loadAddon()
    for (const buffers of this.#free.values()) for (const buffer of buffers) release(buffer)
    this.#free.clear()
    this.#pooled = 0
  }

  report(): PoolReport {
    return { liveBytes: this.#live, peakLiveBytes: this.#peak, pooledBytes: this.#pooled }
  }

  resetPeak(): void {
    this.#peak = this.#live
  }

  #allocate(bytes: number): ArrayBuffer {
    const { allocate } = loadAddon()
    let buffer: ArrayBuffer
    try {
      buffer = allocate(bytes)
    } catch {
      // Memory kept for tensors of other sizes may be what is missing.
      this.trim()
      buffer = allocate(bytes)
    }
    this.#owned.add(buffer)
    return buffer
  }
}
