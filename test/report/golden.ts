/** Against metrics that MONAI 1.3 computed: `make_golden.py` beside them shows how. */

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { overlap } from '../../report/overlap.ts'
import { averageSurfaceDistance, hausdorff, surfaceDice, surfaceDistances } from '../../report/surface.ts'
import { readNpy, toVolume } from '../support/npy.ts'
import { sharedPath } from '../support/shared.ts'

/** null stands for NaN, "inf" for infinity. */
type Value = number | null | 'inf'

interface Index {
  metrics?: { spacing: [number, number, number]; cases: ({ pred: string; truth: string } & Record<string, Value>)[] }
}

const emptyRule = 'monai'
const tolerance = 1e-4

/** Our metric of a golden name: dice, hd, hd95 and its like, assd, nsd_2mm and its like. */
function metricOf(
  name: string,
  pair: { shape: [number, number, number]; prediction: Float32Array; reference: Float32Array },
  spacing: [number, number, number],
): number | null {
  const { shape, prediction, reference } = pair
  if (name === 'dice') return overlap(prediction, reference, { value: 1, emptyRule, voxelMl: 1 }).dice
  const distances = surfaceDistances(prediction, reference, { shape, spacing, value: 1 })
  if (name === 'hd') return hausdorff(distances, { emptyRule })
  if (name === 'assd') return averageSurfaceDistance(distances, { emptyRule })
  const [, kind, number] = /^(hd|nsd_)([\d.]+)(?:mm)?$/.exec(name) ?? []
  if (kind === 'hd') return hausdorff(distances, { emptyRule, percentile: Number(number) })
  if (kind === 'nsd_') return surfaceDice(distances, Number(number), emptyRule)
  throw new Error(`no metric of ours is called ${name}`)
}

const root = sharedPath('golden')
const folders = root
  ? ['.', ...readdirSync(root)].map(name => join(root, name)).filter(path => existsSync(join(path, 'index.json')))
  : []

t.test("every metric is MONAI's", root ? {} : { skip: 'shared data not found' }, async t => {
  let values = 0
  for (const folder of folders) {
    const { metrics } = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Index
    const largest = new Map<string, number>()
    for (const { pred, truth, ...expected } of metrics?.cases ?? []) {
      const prediction = toVolume(readNpy(join(folder, pred)))
      const reference = toVolume(readNpy(join(folder, truth))).voxels
      const pair = { shape: prediction.shape, prediction: prediction.voxels, reference }
      for (const [name, value] of Object.entries(expected)) {
        const found = metricOf(name, pair, metrics!.spacing)
        const wanted = value === 'inf' ? Infinity : value
        values++
        // Where there is no number to be near to, it has to be the same.
        const difference = found === wanted ? 0 : Math.abs((found ?? NaN) - (wanted ?? NaN))
        largest.set(name, Math.max(largest.get(name) ?? 0, difference))
        t.ok(difference < tolerance, `${pred}: ${name} is ${found}, MONAI's ${value}`)
      }
    }
    for (const [name, difference] of largest) t.comment(`${name}: largest difference ${difference}`)
  }
  t.ok(values > 0, `${values} values`)
})
