/** Bytes of typed arrays that are alive, garbage not among them, in this process. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Alive now. */
export function alive(): number {
  // What one collection finds dead is freed by the next.
  collect()
  collect()
  return process.memoryUsage().arrayBuffers
}

const names = ['Float32Array', 'Float64Array', 'Uint8Array', 'Uint32Array', 'Int32Array'] as const

/** The most bytes that are alive at once while something is done, beside those that were before; looked at whenever a large array is made. */
export async function mostAlive(work: () => Promise<void>, large = 1 << 18): Promise<number> {
  const start = alive()
  let most = 0
  let isLooking = false
  const look = (): void => {
    if (isLooking) return
    isLooking = true
    most = Math.max(most, alive() - start)
    isLooking = false
  }
  const originals = names.map(name => globalThis[name])
  for (const [i, name] of names.entries()) {
    const Original = originals[i] as unknown as new (...args: unknown[]) => { byteLength: number }
    const Counted = class extends Original {
      constructor(...args: unknown[]) {
        super(...args)
        if (!(args[0] instanceof ArrayBuffer) && this.byteLength >= large) look()
      }
    }
    Object.defineProperty(Counted, 'name', { value: name })
    Object.assign(globalThis, { [name]: Counted })
  }
  try {
    await work()
    look()
    return most
  } finally {
    for (const [i, name] of names.entries()) Object.assign(globalThis, { [name]: originals[i] })
  }
}
