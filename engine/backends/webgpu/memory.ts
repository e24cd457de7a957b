/**
 * The GPU's memory, counted: TensorFlow.js' buffer manager with a limit. Buffers are used again by exact size and usage, and
 * what waits is freed before more is asked for than twice what was ever in use.
 */

import { formatBytes } from '../../../pipeline/bytes.ts'
import { PipelineError } from '../../../pipeline/errors.ts'

/** See `slack` in ../pool.ts, which measured it for the same sizes. */
const slack = 2

const storage = 0x80 // GPUBufferUsage.STORAGE, which is no global before a device is opened

/** Below this a failed allocation shows in the next large one. */
const watched = 1 << 20

interface Kept {
  readonly buffer: GPUBuffer
  readonly number: number
  /** When it was given back, in releases. */
  readonly since: number
}

/** The part of a device that memory comes from. */
export type BufferDevice = Pick<GPUDevice, 'createBuffer' | 'pushErrorScope' | 'popErrorScope' | 'limits'>

export class GpuMemory {
  /** Tensors' and other buffers' bytes in use; names as TensorFlow.js reads them. */
  numBytesUsed = 0
  /** The same and what waits for the next ones. */
  numBytesAllocated = 0
  peakAllocated = 0
  /**
   * By size and usage, in the order in which they were made. The first of them is lent next: so the same work finds the same
   * buffers at every step, and with them what was bound to them.
   */
  readonly #free = new Map<string, Kept[]>()
  readonly #numbers = new WeakMap<GPUBuffer, number>()
  #made = 0
  #releases = 0
  #highWater = 0
  #failures: Promise<void>[] = []
  #failure: PipelineError | undefined
  /** Buffers that the device has no memory for: nobody is to have them again. */
  readonly #invalid = new WeakSet<GPUBuffer>()
  readonly #device: BufferDevice
  readonly #limit: number
  readonly #largest: number
  readonly #submit: () => void

  /** Holds at most `limit` bytes; `submit` hands over the commands that are recorded, which may use what is to be freed. */
  constructor(device: BufferDevice, limit: number, submit: () => void) {
    this.#device = device
    this.#limit = limit
    this.#submit = submit
    this.#largest = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize)
  }

  /** Counts bytes that others hold, for a memory that only counts. */
  hold(bytes: number): void {
    this.numBytesUsed += bytes
    this.numBytesAllocated += bytes
    this.#highWater = this.numBytesUsed
  }

  /** A buffer, not cleared. ERR_ENGINE, with the numbers, where it is too large or the limit is reached. */
  acquireBuffer(size: number, usage: GPUBufferUsageFlags, mappedAtCreation = false, reuse = true): GPUBuffer {
    if (size > this.#largest)
      throw new PipelineError(
        'ERR_ENGINE',
        `a tensor of ${formatBytes(size)} does not fit the adapter, whose kernels see at most ${formatBytes(this.#largest)} at once; make the patch or window smaller, or use "native"`,
        { bytes: size, largest: this.#largest },
      )
    const kept = reuse ? this.#free.get(kindOf(size, usage))?.shift()?.buffer : undefined
    const buffer = kept ?? this.#create(size, usage, mappedAtCreation)
    this.numBytesUsed += size
    this.#highWater = Math.max(this.#highWater, this.numBytesUsed)
    return buffer
  }

  /** Gives a buffer back; without `reuse` it is destroyed, as one must be that was mapped when it was made. */
  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    this.numBytesUsed -= buffer.size
    if (!reuse || this.#invalid.has(buffer)) return this.#destroy(buffer)
    const kind = kindOf(buffer.size, buffer.usage)
    const free = this.#free.get(kind) ?? []
    if (free.length === 0) this.#free.set(kind, free)
    const number = this.#numbers.get(buffer)!
    const at = free.findIndex(kept => kept.number > number)
    free.splice(at < 0 ? free.length : at, 0, { buffer, number, since: this.#releases++ })
  }

  /** Frees what nothing uses. */
  trim(): void {
    this.#shrinkTo(0)
  }

  dispose(): void {
    this.trim()
  }

  /** Whether the device gives so many bytes now, beside what is held: takes them in pieces and gives them back. */
  async canHold(bytes: number): Promise<boolean> {
    if (this.numBytesAllocated + bytes > this.#limit) return false
    const piece = Math.min(this.#largest, 1 << 28)
    const buffers: GPUBuffer[] = []
    this.#device.pushErrorScope('out-of-memory')
    for (let left = bytes; left > 0; left -= piece)
      buffers.push(this.#device.createBuffer({ size: Math.ceil(Math.min(left, piece) / 4) * 4, usage: storage }))
    const error = await this.#device.popErrorScope()
    for (const buffer of buffers) buffer.destroy()
    return error === null
  }

  /** Rejects with the first allocation that failed since the last time, once the device has answered for all of them. */
  async settled(): Promise<void> {
    const failures = this.#failures
    this.#failures = []
    await Promise.all(failures)
    const failure = this.#failure
    this.#failure = undefined
    if (!failure) return
    // What the failed work held is no measure, and what was kept for it may be all that is missing next time.
    this.#highWater = this.numBytesUsed
    this.trim()
    throw failure
  }

  #create(size: number, usage: GPUBufferUsageFlags, mappedAtCreation: boolean): GPUBuffer {
    const used = this.numBytesUsed + size
    this.#shrinkTo(slack * Math.max(used, this.#highWater) - used)
    if (this.numBytesAllocated + size > this.#limit) this.trim()
    if (this.numBytesAllocated + size > this.#limit)
      throw this.#exhausted(size, `"gpuMemory" allows ${formatBytes(this.#limit)}`)
    const isWatched = size >= watched
    if (isWatched) this.#device.pushErrorScope('out-of-memory')
    let buffer: GPUBuffer
    let told: Promise<GPUError | null> | undefined
    try {
      // One that is mapped throws where there is no memory for it.
      buffer = this.#device.createBuffer({ size, usage, mappedAtCreation })
    } finally {
      if (isWatched) told = this.#device.popErrorScope()
    }
    if (told) {
      const error = this.#exhausted(size, 'the GPU has no more')
      this.#failures.push(
        told.then(found => {
          if (!found) return
          this.#failure ??= error
          this.#invalid.add(buffer)
          const free = this.#free.get(kindOf(size, usage)) ?? []
          const at = free.findIndex(kept => kept.buffer === buffer)
          if (at >= 0) this.#destroy(free.splice(at, 1)[0]!.buffer)
        }),
      )
    }
    this.#numbers.set(buffer, this.#made++)
    this.numBytesAllocated += size
    this.peakAllocated = Math.max(this.peakAllocated, this.numBytesAllocated)
    return buffer
  }

  #exhausted(bytes: number, why: string): PipelineError {
    return new PipelineError(
      'ERR_ENGINE',
      `no GPU memory for a tensor of ${formatBytes(bytes)} beside the ${formatBytes(this.numBytesUsed)} in use (${why}); make the patch or window smaller, free the GPU of other processes, or use "native"`,
      { bytes, liveBytes: this.numBytesUsed },
    )
  }

  #shrinkTo(bytes: number): void {
    if (this.numBytesAllocated - this.numBytesUsed <= bytes) return
    this.#submit()
    const oldestFirst = [...this.#free.values()].flat().toSorted((a, b) => a.since - b.since)
    for (const kept of oldestFirst) {
      if (this.numBytesAllocated - this.numBytesUsed <= bytes) break
      const free = this.#free.get(kindOf(kept.buffer.size, kept.buffer.usage))!
      free.splice(free.indexOf(kept), 1)
      this.#destroy(kept.buffer)
    }
  }

  #destroy(buffer: GPUBuffer): void {
    this.numBytesAllocated -= buffer.size
    buffer.destroy()
  }
}

function kindOf(size: number, usage: GPUBufferUsageFlags): string {
  return `${size} ${usage}`
}

/** Lends buffers that are only counted, with a real device's limits: for finding out what work will take. */
export function countingDevice({ limits }: Pick<GPUDevice, 'limits'>): BufferDevice {
  return {
    limits,
    createBuffer: ({ size, usage }) => ({ size, usage, destroy() {} }) as unknown as GPUBuffer,
    pushErrorScope() {},
    popErrorScope: async () => null,
  }
}
