/** Runs a native kernel in every variant that this processor has and compares it with the reference. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadAddon, type Addon, type Isa } from '../../native/addon.ts'
import { projectRoot } from './shared.ts'

/** Why the kernels cannot be tested here, in tap's word; `false` where they can. */
export const skip = existsSync(join(projectRoot, 'build', 'ctflow.node')) ? false : 'the addon is not built'

/** An output of a kernel: what the reference says and how far, relative to its largest value, float32 may be away. */
export interface Expected {
  readonly name: string
  readonly values: ArrayLike<number>
  readonly tolerance: number
  /** What rounding is relative to where it is more than the largest value: the terms of a sum that cancels. */
  readonly scale?: number
}

export type Compute = (addon: Addon) => readonly Float32Array[]

/**
 * Asserts once per case: close to the reference in each variant, and the same bits with one, two and three threads. Gives
 * the largest distance.
 */
export function conforms(
  t: Test,
  what: string,
  compute: Compute,
  expected: readonly Expected[],
  isas: readonly Isa[] = loadAddon().isas(),
): number {
  const addon = loadAddon()
  let largest = 0
  const problems: string[] = []
  for (const isa of isas) {
    const [one, two, three] = [1, 2, 3].map(threads => onVariant(addon, isa, threads, compute))
    expected.forEach(({ name, values, tolerance, scale = 0 }, i) => {
      const distance = relativeToLargest(one![i]!, values, scale)
      largest = Math.max(largest, distance)
      if (!(distance <= tolerance)) problems.push(`${isa}: ${name} is off by ${distance}, allowed are ${tolerance}`)
      if (!sameBits(one![i]!, two![i]!)) problems.push(`${isa}: two threads change bits of ${name}`)
      if (!sameBits(one![i]!, three![i]!)) problems.push(`${isa}: three threads change bits of ${name}`)
    })
  }
  t.same(problems, [], what)
  return largest
}

function onVariant(addon: Addon, isa: Isa, threads: number, compute: Compute): readonly Float32Array[] {
  const before = { isa: addon.isa(), threads: addon.threads() }
  addon.setIsa(isa)
  addon.setThreads(threads)
  try {
    return compute(addon)
  } finally {
    addon.setIsa(before.isa)
    addon.setThreads(before.threads)
  }
}

/** Outputs start as NaN, so that a value nobody wrote shows. */
export function unwritten(size: number): Float32Array {
  return new Float32Array(size).fill(NaN)
}

function relativeToLargest(found: Float32Array, expected: ArrayLike<number>, scale: number): number {
  if (found.length !== expected.length) return Infinity
  let largest = scale
  let difference = 0
  for (let i = 0; i < found.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!))
    const away = Math.abs(found[i]! - expected[i]!)
    difference = Number.isNaN(away) ? Infinity : Math.max(difference, away)
  }
  return difference === 0 ? 0 : difference / Math.max(largest, 1e-30)
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}
