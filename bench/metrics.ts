/**
 * All surface metrics of one pair of masks of a whole scan, 512 x 512 x 300: lungs, and small lesions in them. Then all
 * metrics of small pairs against MONAI's.
 */

import { maskOf } from '../imaging/mask.ts'
import { countOverlaps } from '../report/overlap.ts'
import { surfaceDistances, surfaceMetrics } from '../report/surface.ts'
import { rng } from '../pipeline/random.ts'
import type { Mask } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { peakRss } from '../pipeline/summary.ts'
import { voxelsOf, type Ellipsoid } from './bodies.ts'
import { monaiMetrics } from './peers/monai-metrics.ts'
import type { Bench, Trial } from './trial.ts'

const shape: Shape3 = [512, 512, 300]
const spacing = [0.7, 0.7, 1] as const

const lungs: readonly Ellipsoid[] = [
  { centre: [156, 256, 150], radii: [95, 125, 135] },
  { centre: [356, 256, 150], radii: [95, 125, 135] },
]

/** Twenty lesions of 3 to 10 voxels' radius inside the lungs. */
function lesions(): Ellipsoid[] {
  const random = rng(0, 0, 0, 'bench-lesions')
  return Array.from({ length: 20 }, (_, i) => {
    const { centre, radii } = lungs[i % 2]!
    const at = centre.map((c, axis) => c + radii[axis]! * (random.uniform() - 0.5))
    return { centre: at, radii: [0, 1, 2].map(() => 3 + 7 * random.uniform()) }
  })
}

function trial(name: string, bodies: readonly Ellipsoid[], shift: number, grown: number): Trial {
  let masks: readonly [prediction: Mask, reference: Mask] | undefined
  return {
    name: `surface-metrics/${name}/512x512x300`,
    unit: 's',
    runs: 5,
    async prepare() {
      masks = [maskOf(shape, voxelsOf(shape, bodies, shift, grown)), maskOf(shape, voxelsOf(shape, bodies))]
      const counts = await countOverlaps(...masks, 2, async () => {})
      const dice = (2 * counts[1]!.both) / (counts[1]!.predicted + counts[1]!.reference)
      if (!(dice > 0.3 && dice < 1)) throw new Error(`expected masks that overlap in part, found Dice ${dice}`)
    },
    async run() {
      const started = performance.now()
      const distances = await surfaceDistances(...masks!, { spacing, value: 1 })
      surfaceMetrics(distances, { emptyRule: 'monai', tolerancesMm: [1, 2, 3], percentile: 95 })
      return (performance.now() - started) / 1000
    },
    async close() {
      masks = undefined
    },
    peakBytes: peakRss,
  }
}

// From little memory to much: the peak is the process's so far.
const scans: Bench = {
  trials: [
    trial('one-lesion', lesions().slice(0, 1), 1, 1),
    trial('20-lesions', lesions(), 1, 1),
    trial('lungs', lungs, 3, 2),
  ],
}

export const benches: readonly Bench[] = [scans, monaiMetrics]
