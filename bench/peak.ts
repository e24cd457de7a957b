/** The processor's and the memory's own limits: what the other figures are shares of. */

import { loadAddon, type PeakKind } from '../native/addon.ts'
import { resolveThreads } from '../engine/threads.ts'
import type { Bench, Trial } from './trial.ts'

const kinds: readonly { readonly name: string; readonly kind: PeakKind; readonly unit: string }[] = [
  { name: 'peak/multiply-add/float32', kind: 'float32', unit: 'GFLOP/s' },
  { name: 'peak/multiply-add/bfloat16', kind: 'bfloat16', unit: 'GFLOP/s' },
  { name: 'peak/copy', kind: 'copy', unit: 'GB/s' },
]

/** Of the current threads, measured now for about so many seconds. Throws where the processor has no such instructions. */
export function peakNow(kind: PeakKind, seconds: number): number {
  return probe(kind, seconds).rate
}

function probe(kind: PeakKind, seconds: number): { readonly rate: number; readonly probe: string } {
  const found = loadAddon().peak(kind, seconds)
  if (!found) throw new Error(`this processor has no instructions for ${kind} products`)
  return found
}

function trialOf({ name, kind, unit }: (typeof kinds)[number]): Trial {
  let best = ''
  return {
    name,
    unit,
    runs: 9,
    async unavailable() {
      const missing = kind === 'bfloat16' && loadAddon().peak(kind, 0.001) === null
      return missing ? 'this processor has no instructions for bfloat16 products' : undefined
    },
    async prepare() {
      loadAddon().setThreads(resolveThreads('auto'))
    },
    async run() {
      const found = probe(kind, 0.3)
      best = found.probe
      return found.rate
    },
    facts: () => ({ probe: best }),
  }
}

export const bench: Bench = { trials: kinds.map(trialOf), interleaved: true }
