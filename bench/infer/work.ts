/** The work that whole inferences are measured with, ours and MONAI's: plain data, so that it crosses to other processes. */

import { resolveThreads } from '../../engine/threads.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { publishedPatch } from '../network/work.ts'

export interface InferWork {
  /** From the file to the mask's file; or the network alone on as many windows as that takes. */
  readonly what: 'scan' | 'windows'
  /** The scan's file. */
  readonly image: string
  /** Where masks go. */
  readonly folder: string
  /** mm, x, y, z. */
  readonly spacing: readonly [number, number, number]
  /** [min, max] becomes [0, 1]. */
  readonly min: number
  readonly max: number
  readonly window: Shape3
  readonly overlap: number
  readonly windowBatch: number
  readonly initFilters: number
  readonly threads: number
}

/** What the published pipeline does with a scan. */
export function inferWork(what: InferWork['what'], image: string, folder: string): InferWork {
  return {
    what,
    image,
    folder,
    spacing: [0.8, 0.8, 5],
    min: -1000,
    max: 500,
    window: publishedPatch,
    overlap: 0.6,
    windowBatch: 4,
    initFilters: 8,
    threads: resolveThreads('auto'),
  }
}
