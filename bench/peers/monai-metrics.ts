/**
 * All metrics of 200 pairs of blobs on grids of random spacing, empty masks among them, by us and by the MONAI that
 * scripts/parity pins. Says the largest difference of each metric, and fails above 1e-4.
 */

import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveThreads } from '../../engine/threads.ts'
import { maskOf } from '../../imaging/mask.ts'
import { messageOf } from '../../pipeline/errors.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { countOverlaps, overlapMetrics } from '../../report/overlap.ts'
import { surfaceDistances, surfaceMetrics, type Spacing } from '../../report/surface.ts'
import { pythonWith } from '../../scripts/parity/python.ts'
import { projectRoot } from '../machine.ts'
import { entrantTrial } from '../network/network-trial.ts'
import type { Bench, Facts } from '../trial.ts'

const name = 'metrics/200-pairs'
const count = 200
const tolerance = 1e-4
const metrics = ['dice', 'iou', 'sensitivity', 'precision', 'hd', 'hd95', 'assd', 'nsd_1mm', 'nsd_3mm'] as const

interface Pair {
  readonly shape: Shape3
  readonly spacing: Spacing
  /** (z, y, x) */
  readonly prediction: Uint8Array
  readonly reference: Uint8Array
}

/** null where MONAI has NaN. */
type Value = number | 'inf' | null

/** Up to four ellipsoids, or nothing, on 5 to 48 voxels along each axis, 0.3 to 5 mm apart; moved a little, or others. */
function drawPair(i: number): Pair {
  const draw = rng(0, i, 0, 'monai-metrics')
  const shape = three(() => 5 + draw.integer(44))
  const spacing = three(() => 0.3 + 4.7 * draw.uniform())
  const bodies = (): Body[] => Array.from({ length: 1 + draw.integer(4) }, () => drawBody(draw, shape))
  const reference = i % 20 === 0 || i % 20 === 1 ? [] : bodies()
  const isMoved = draw.integer(4) > 0
  const moved = reference.map(({ centre, radii }) => ({
    centre: centre.map(c => c + 3 * (draw.uniform() - 0.5)),
    radii: radii.map(r => r * (0.7 + 0.6 * draw.uniform())),
  }))
  const prediction = i % 20 === 1 || i % 20 === 2 ? [] : isMoved && reference.length > 0 ? moved : bodies()
  return { shape, spacing, prediction: voxelsOf(prediction, shape), reference: voxelsOf(reference, shape) }
}

const three = (of: () => number): [number, number, number] => [of(), of(), of()]

interface Body {
  readonly centre: readonly number[]
  readonly radii: readonly number[]
}

function drawBody(draw: Rng, shape: Shape3): Body {
  return { centre: shape.map(n => n * draw.uniform()), radii: shape.map(n => 1 + 0.3 * n * draw.uniform()) }
}

function voxelsOf(bodies: readonly Body[], [nx, ny, nz]: Shape3): Uint8Array {
  const voxels = new Uint8Array(nx * ny * nz)
  for (let i = 0; i < voxels.length; i++) {
    const at = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
    const isInside = ({ centre, radii }: Body): boolean =>
      at.reduce((sum, p, axis) => sum + ((p - centre[axis]!) / radii[axis]!) ** 2, 0) <= 1
    if (bodies.some(isInside)) voxels[i] = 1
  }
  return voxels
}

async function metricsOf({ shape, spacing, prediction, reference }: Pair): Promise<Value[]> {
  const emptyRule = 'monai'
  const masks = [maskOf(shape, prediction), maskOf(shape, reference)] as const
  const [counts, distances] = await Promise.all([
    countOverlaps(...masks, 2, async () => {}),
    surfaceDistances(...masks, { spacing, value: 1 }),
  ])
  const all: Readonly<Record<string, number | null>> = {
    ...overlapMetrics(counts[1]!, { emptyRule, voxelMl: 1 }),
    ...surfaceMetrics(distances, { emptyRule, tolerancesMm: [1, 3], percentile: 95 }),
  }
  return metrics.map(metric => (all[metric] === Infinity ? 'inf' : all[metric]!))
}

/** Largest difference by metric; infinite where one has a number and the other none. */
function differences(found: readonly Value[], expected: readonly Value[]): Facts {
  if (found.length !== expected.length) throw new Error(`expected ${found.length} values, found ${expected.length}`)
  const apart = (a: Value, b: Value): number =>
    a === b ? 0 : typeof a === 'number' && typeof b === 'number' ? Math.abs(a - b) : Infinity
  return Object.fromEntries(
    metrics.map((metric, column) => {
      const away = found.map((value, i) => (i % metrics.length === column ? apart(value, expected[i]!) : 0))
      return [metric, Number(Math.max(...away).toPrecision(2))]
    }),
  )
}

let python: { readonly path: string } | { readonly missing: string } | undefined

/** Asked once: the first time packages may have to be installed. */
function findPython(): { readonly path: string } | { readonly missing: string } {
  if (python) return python
  const root = projectRoot()
  try {
    const path = pythonWith(join(root, 'scripts', 'parity', 'requirements.txt'), join(root, 'build', 'parity', 'venv'))
    const { status, stderr } = spawnSync(path, ['-c', 'import monai, scipy, torch'], { encoding: 'utf8' })
    python = status === 0 ? { path } : { missing: `${path} does not have MONAI: ${stderr.trim().split('\n').at(-1)}` }
  } catch (error) {
    python = { missing: `no Python with MONAI: ${messageOf(error)}` }
  }
  return python
}

function monaiBench(): Bench {
  let pairs: Pair[] = []
  let own: Value[] = []
  let folder: string | undefined
  let largest: Facts = {}
  const monai = entrantTrial({
    name: `${name}/monai`,
    runs: 1,
    against: 'monai-default',
    async unavailable() {
      const found = findPython()
      return 'missing' in found ? found.missing : undefined
    },
    async entrant() {
      const found = findPython()
      if ('missing' in found) throw new Error(found.missing)
      folder = await mkdtemp(join(tmpdir(), 'ctflow-metrics-'))
      const masks = join(folder, 'masks.uint8')
      await writeFile(masks, Buffer.concat(pairs.flatMap(({ prediction, reference }) => [prediction, reference])))
      // It warns of masks that are empty on purpose.
      const args = ['-W', 'ignore', join(projectRoot(), 'bench', 'peers', 'peer.py')]
      return {
        command: { file: found.path, args, timeoutSeconds: 300 },
        work: {
          framework: 'metrics',
          threads: resolveThreads('auto'),
          masks,
          names: metrics,
          pairs: pairs.map(({ shape, spacing }) => ({ shape, spacing })),
        },
      }
    },
    check({ outcome }) {
      largest = differences(own, outcome as readonly Value[])
      const outside = Object.entries(largest).filter(([, away]) => !((away as number) <= tolerance))
      if (outside.length > 0) throw new Error(`expected differences up to ${tolerance}: ${JSON.stringify(outside)}`)
    },
  })
  return {
    trials: [
      {
        name,
        unit: 's',
        runs: 1,
        async prepare() {
          pairs = Array.from({ length: count }, (_, i) => drawPair(i))
        },
        async run() {
          const started = performance.now()
          own = (await Promise.all(pairs.map(metricsOf))).flat()
          return (performance.now() - started) / 1000
        },
      },
      {
        ...monai,
        facts: () => ({
          ...monai.facts?.(),
          ...Object.fromEntries(Object.entries(largest).map(([metric, away]) => [`${metric} differs by`, away])),
        }),
      },
    ],
    comparisons: [{ name, unit: 'times as fast', of: [`${name}/monai`], over: name, against: 'monai-default' }],
    interleaved: true,
    close: async () => {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

export const monaiMetrics: Bench = monaiBench()
