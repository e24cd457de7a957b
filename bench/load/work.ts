/** The work that loading is measured with, ours and MONAI's: plain data, so that it crosses to other processes. */

import { resolveThreads } from '../../engine/threads.ts'
import { rng } from '../../pipeline/random.ts'

export interface LoadWork {
  /** Files. */
  readonly image: string
  readonly label: string
  /** mm, x, y, z. */
  readonly spacing: readonly [number, number, number]
  /** [min, max] becomes `to`. */
  readonly min: number
  readonly max: number
  readonly to: readonly [number, number]
  readonly threads: number
  /** Where voxels are compared: shares of the extents x, y, z. */
  readonly samples: readonly (readonly [number, number, number])[]
}

/** What the published pipeline does with the files. */
export function loadWork(image: string, label: string): LoadWork {
  const random = rng(0, 0, 0, 'bench-load-samples')
  const place = (): [number, number, number] => [random.uniform(), random.uniform(), random.uniform()]
  return {
    image,
    label,
    spacing: [0.8, 0.8, 5],
    min: -1000,
    max: 500,
    to: [0, 1],
    threads: resolveThreads('auto'),
    samples: Array.from({ length: 4096 }, place),
  }
}
