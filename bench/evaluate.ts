/**
 * A whole evaluation as cron runs it: 90 masks of 448 x 448 x 60 against their references, all metrics, with the report, its
 * pictures and its page, by the command line in a process of its own.
 */

import { execFile } from 'node:child_process'
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeNifti } from '../imaging/nifti-write.ts'
import { rng } from '../pipeline/random.ts'
import type { Grid, Shape3 } from '../pipeline/grid.ts'
import type { RunResult } from '../pipeline/summary.ts'
import { voxelsOf, type Ellipsoid } from './bodies.ts'
import { projectRoot } from './machine.ts'
import type { Bench, Trial } from './trial.ts'

const execute = promisify(execFile)
const shape: Shape3 = [448, 448, 60]
const grid: Grid = { shape, affine: [-0.8, 0, 0, 179, 0, -0.8, 0, 179, 0, 0, 5, -150, 0, 0, 0, 1] }
const cases = 90

/** Up to twelve lesions in two lungs, or all of both lungs: a diffuse pneumonia. */
function lesions(i: number): Ellipsoid[] {
  const random = rng(0, i, 0, 'bench-evaluate')
  const lungs = [136, 312].map(x => ({ centre: [x, 224, 30], radii: [70, 100, 24] }))
  if (i % 10 === 0) return lungs
  return Array.from({ length: 1 + random.integer(12) }, (_, k) => {
    const { centre, radii } = lungs[k % 2]!
    const at = centre.map((c, axis) => c + radii[axis]! * (random.uniform() - 0.5))
    return { centre: at, radii: [4 + 26 * random.uniform(), 4 + 26 * random.uniform(), 1 + 4 * random.uniform()] }
  })
}

/** HU: noise around lungs in a body; every case has the same scan, under a name of its own. */
function scan(): Int16Array {
  const random = rng(0, 0, 0, 'bench-evaluate-scan')
  const noise = Int16Array.from({ length: 65521 }, () => 120 * (random.uniform() - 0.5))
  const body = voxelsOf(shape, [{ centre: [224, 224, 30], radii: [200, 160, 60] }])
  const lungs = voxelsOf(shape, lesions(0))
  return Int16Array.from(body, (inside, i) => (inside ? (lungs[i] ? -850 : 40) : -1000) + noise[i % noise.length]!)
}

async function write(folder: string): Promise<void> {
  for (const name of ['scans', 'labels', 'masks']) mkdirSync(join(folder, name))
  const image = join(folder, 'scan.nii.gz')
  await writeNifti(image, { grid, voxels: scan() }, { level: 1 })
  const testing: object[] = []
  for (let i = 0; i < cases; i++) {
    const name = `case-${String(i).padStart(3, '0')}.nii.gz`
    linkSync(image, join(folder, 'scans', name))
    const bodies = lesions(i)
    await writeNifti(join(folder, 'labels', name), { grid, voxels: voxelsOf(shape, bodies) }, { level: 1 })
    await writeNifti(
      join(folder, 'masks', name),
      { grid, voxels: voxelsOf(shape, bodies.slice(i % 3), 1, 1) },
      { level: 1 },
    )
    testing.push({
      image: `scans/${name}`,
      label: `labels/${name}`,
      prediction: `masks/${name}`,
      site: `site ${i % 4}`,
    })
  }
  writeFileSync(join(folder, 'list.json'), JSON.stringify({ testing }))
  const definition = {
    task: 'evaluate',
    memory: '1GiB',
    dataset: { list: 'list.json' },
    report: { strata: ['site'] },
    stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
    output: 'out',
  }
  writeFileSync(join(folder, 'evaluate.json'), JSON.stringify(definition))
}

function evaluation(): Trial {
  let folder = ''
  let result: RunResult | undefined
  return {
    name: `evaluate/${cases}-cases/${shape.join('x')}`,
    unit: 's',
    runs: 3,
    async prepare() {
      folder = mkdtempSync(join(tmpdir(), 'ctflow-bench-evaluate-'))
      await write(folder)
    },
    async run() {
      const bin = join(projectRoot(), 'dist', 'bin', 'run-pipeline.js')
      const started = performance.now()
      const { stdout } = await execute(process.execPath, [bin, join(folder, 'evaluate.json'), '--json'])
      const seconds = (performance.now() - started) / 1000
      result = JSON.parse(stdout) as RunResult
      if (result.cases.ok !== cases) throw new Error(`expected ${cases} cases, found ${JSON.stringify(result.cases)}`)
      return seconds
    },
    pid: () => undefined,
    peakBytes: () => result!.peakRssBytes,
    facts() {
      const { mean } = result!.metrics['dice'] as { mean: number }
      const { memory } = JSON.parse(readFileSync(join(folder, 'out', 'run.json'), 'utf8')) as {
        memory: { peakLiveBytes: number }
      }
      return {
        'mean Dice': mean.toFixed(4),
        'live bytes, MiB': Math.round(memory.peakLiveBytes / 2 ** 20),
        'page, KiB': Math.round(statSync(join(folder, 'out', 'latest', 'index.html')).size / 1024),
      }
    },
    async close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export const bench: Bench = { trials: [evaluation()] }
