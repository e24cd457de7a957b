/** How a kernel is timed: in batches, between two probes of the machine, after its result was compared with the scalar one. */

import { resolveThreads } from '../../engine/threads.ts'
import { loadAddon, type Addon, type PeakKind } from '../../native/addon.ts'
import { peakNow } from '../peak.ts'
import { medianOf } from '../statistics.ts'
import type { Trial } from '../trial.ts'

/** One call of a kernel, on arrays that are made for it. */
export interface KernelCall {
  readonly run: (addon: Addon) => void
  readonly outputs: readonly Float32Array[]
}

export interface KernelCase {
  readonly name: string
  readonly unit: 'GFLOP/s' | 'GB/s'
  /** GFLOP or GB of one call. */
  readonly amount: number
  /** See Trial. */
  readonly necessary?: number
  /** The call that is timed; its arrays come from memory that trials share. */
  readonly timed: (memory: Memory) => KernelCall
  /** The same kernel on a size that plain loops can do, for the comparison. */
  readonly checked: () => KernelCall
  /** Largest difference from the scalar variant, relative to its largest value. */
  readonly tolerance: number
  /** Of what the rate is a share; no share where the data fit into the caches. */
  readonly peak?: PeakKind
}

const batchSeconds = 0.01
const slotSeconds = 0.04
const probeSeconds: Readonly<Record<PeakKind, number>> = { float32: 0.03, bfloat16: 0.02, copy: 0.1 }

/** Of all probes so far: on a busy machine most of them do not get both processors. */
let best = 0

export function kernelTrial(kernel: KernelCase, memory: Memory): Trial {
  const { name, unit, amount, necessary, timed, checked, tolerance, peak } = kernel
  const addon = loadAddon()
  let call: KernelCall | undefined
  let peakBeside = 0
  /** GFLOP/s as if the threads had never waited; all repetitions', also those that others disturbed. */
  const undisturbed: number[] = []
  return {
    name,
    unit,
    runs: 5,
    async prepare() {
      addon.setThreads(resolveThreads('auto'))
      const difference = differenceFromScalar(addon, checked)
      if (!(difference <= tolerance))
        throw new Error(`off the scalar variant by ${difference}, allowed are ${tolerance}`)
      call = timed(memory)
    },
    async run() {
      const before = peak ? peakNow(peak, probeSeconds[peak] / 2) : 0
      const { seconds, processorSeconds } = timeSlot(() => call!.run(addon))
      const after = peak ? peakNow(peak, probeSeconds[peak] / 2) : 0
      // The clock varies, and a probe can be interrupted: the better of the two that stand around the kernel.
      peakBeside = Math.max(before, after)
      if (peak === 'float32') {
        best = Math.max(best, peakBeside)
        undisturbed.push((amount * addon.threads()) / processorSeconds)
      }
      return amount / seconds
    },
    ...(peak && { peak: () => peakBeside }),
    ...(necessary !== undefined && { necessary }),
    ...(peak === 'float32' && {
      facts: () => ({ 'in processor time': `${((100 * medianOf(undisturbed)) / best).toFixed(0)} %` }),
    }),
  }
}

/** Of one call. */
interface Slot {
  /** The median of batches that are long enough for the clock. */
  readonly seconds: number
  /** Of all threads together: where others disturb, it says what time on processors of one's own would have been. */
  readonly processorSeconds: number
}

function timeSlot(work: () => void): Slot {
  const batches: number[] = []
  const slotStarted = performance.now()
  const usageBefore = process.cpuUsage()
  let allCalls = 0
  do {
    const started = performance.now()
    let calls = 0
    let seconds = 0
    do {
      work()
      calls += 1
      seconds = (performance.now() - started) / 1000
    } while (seconds < batchSeconds)
    batches.push(seconds / calls)
    allCalls += calls
  } while (performance.now() - slotStarted < 1000 * slotSeconds)
  const { user, system } = process.cpuUsage(usageBefore)
  return { seconds: medianOf(batches), processorSeconds: (user + system) / 1e6 / allCalls }
}

/** Largest difference between the fastest variant's outputs and the scalar one's, relative to the largest value. */
export function differenceFromScalar(addon: Addon, checked: () => KernelCall): number {
  const fastest = addon.isa()
  const found = checked()
  found.run(addon)
  const expected = checked()
  addon.setIsa('scalar')
  try {
    expected.run(addon)
  } finally {
    addon.setIsa(fastest)
  }
  return Math.max(...expected.outputs.map((output, i) => relativeDifference(found.outputs[i]!, output)))
}

function relativeDifference(found: Float32Array, expected: Float32Array): number {
  let largest = 0
  let difference = 0
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!))
    const away = Math.abs(found[i]! - expected[i]!)
    difference = away >= difference || Number.isNaN(away) ? away : difference
    if (Number.isNaN(difference)) return Infinity
  }
  return difference === 0 ? 0 : difference / largest
}

/**
 * Arrays that one trial after the other uses, grown to the largest: inputs hold noise, outputs what was last written. They
 * come from where the engine's tensors come from, on large pages where the system has them.
 */
export class Memory {
  readonly #arrays = new Map<string, Float32Array>()

  /** Nobody writes to it. */
  input(slot: string, length: number): Float32Array {
    return this.#take(`input ${slot}`, length, fillWithNoise)
  }

  output(slot: string, length: number): Float32Array {
    return this.#take(`output ${slot}`, length, values => values)
  }

  #take(slot: string, length: number, filled: (values: Float32Array) => Float32Array): Float32Array {
    let array = this.#arrays.get(slot)
    if (array === undefined || array.length < length) {
      array = filled(new Float32Array(loadAddon().allocate(length * Float32Array.BYTES_PER_ELEMENT)))
      this.#arrays.set(slot, array)
    }
    return array.subarray(0, length)
  }
}

/** In [-0.5, 0.5), the same for every call. */
export function noise(length: number): Float32Array {
  return fillWithNoise(new Float32Array(length))
}

function fillWithNoise(values: Float32Array): Float32Array {
  let state = 1
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    values[i] = state / 2 ** 32 - 0.5
  }
  return values
}
