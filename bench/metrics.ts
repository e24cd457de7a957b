/**
 * All surface metrics of one pair of masks of a whole scan, 512 x 512 x 300: lungs, and small lesions in them. Then all
 * metrics of small pairs against MONAI's.
 */

import { maskOf } from '../imaging/mask.ts'
import { countOverlaps } from '../report/overlap.ts'
import { surfaceDistances, surfaceMetrics } from '../report/surface.ts'
import { rng } from '../pipeline/random.ts'
import type { Mask, Shape3 } from '../pipeline/stage.ts'
import { peakRss } from '../pipeline/summary.ts'
import { monaiMetrics } from './peers/monai-metrics.ts'
import type { Bench, Trial } from './trial.ts'

const shape: Shape3 = [512, 512, 300]
const spacing = [0.7, 0.7, 1] as const

interface Ellipsoid {
  readonly centre: readonly number[]
  readonly radii: readonly number[]
}

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

/** A mask (z, y, x) with wavy ellipsoids, shifted and blown up by a little. */
function voxelsOf(bodies: readonly Ellipsoid[], shift: number, grown: number): Uint8Array {
  const [nx, ny] = shape
  const mask = new Uint8Array(nx * ny * shape[2])
  for (const { centre, radii } of bodies) {
    const reach = radii.map(r => Math.ceil(1.1 * (r + grown)))
    const [from, to] = [-1, 1].map(side => centre.map((c, axis) => Math.round(c + shift + side * reach[axis]!)))
    for (let z = from![2]!; z <= to![2]!; z++) {
      for (let y = from![1]!; y <= to![1]!; y++) {
        for (let x = from![0]!; x <= to![0]!; x++) {
          const r = [x, y, z].map((at, axis) => (at - centre[axis]! - shift) / (radii[axis]! + grown))
          const wave = 1 + 0.04 * Math.sin(0.31 * x) * Math.sin(0.23 * y) * Math.sin(0.41 * z)
          if (r[0]! ** 2 + r[1]! ** 2 + r[2]! ** 2 <= wave) mask[(z * ny + y) * nx + x] = 1
        }
      }
    }
  }
  return mask
}

function trial(name: string, bodies: readonly Ellipsoid[], shift: number, grown: number): Trial {
  let masks: readonly [prediction: Mask, reference: Mask] | undefined
  return {
    name: `surface-metrics/${name}/512x512x300`,
    unit: 's',
    runs: 5,
    async prepare() {
      masks = [maskOf(shape, voxelsOf(bodies, shift, grown)), maskOf(shape, voxelsOf(bodies, 0, 0))]
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
