/**
 * Memory that the engine's thread sees too, used again. Garbage collectors do not count what threads share, so neither
 * thread's would be in a hurry to give it back: dropped batches and logits would pile up.
 */
export class SharedMemory {
  #free: SharedArrayBuffer[] = []

  /** At least so many bytes, not cleared. */
  take(bytes: number): SharedArrayBuffer {
    const at = this.#free.findIndex(buffer => buffer.byteLength >= bytes)
    if (at >= 0) return this.#free.splice(at, 1)[0]!
    // What is too small now would stay too small.
    this.#free = []
    return new SharedArrayBuffer(bytes)
  }

  /** Gives memory back; nobody may look at it any more. */
  give(buffer: SharedArrayBuffer): void {
    this.#free.push(buffer)
  }
}
