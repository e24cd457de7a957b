/**
 * Who is told when a stage's own code begins and ends its work on an item. The flow names a probe while it puts a stage's
 * transform together, and what lifts functions to transforms asks for it there: stages know nothing of it. A leaf.
 */

import type { Item } from './flow.ts'

export interface Probe {
  began(item: Item): void
  /** Also after an error. */
  ended(item: Item): void
}

const nobody: Probe = { began() {}, ended() {} }
let current: () => Probe = () => nobody

/** Runs `build`, at once; a transform that is put together in it tells `probe`, which is asked for only where one would. */
export function toldTo<T>(probe: () => Probe, build: () => T): T {
  const outer = current
  current = probe
  try {
    return build()
  } finally {
    current = outer
  }
}

/** The probe of the transform that is being put together. */
export function currentProbe(): Probe {
  return current()
}
