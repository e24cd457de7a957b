/** A batch of tiny scans with a tiny network, and how runs of it are started as users start them. */

import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { loadDefinition } from '../../pipeline/definition.ts'
import { openEngineFor, writeCheckpoint } from '../../stages/index.ts'
import type { CaseLine } from '../../pipeline/manifest.ts'
import { projectRoot } from './shared.ts'

const bin = join(projectRoot, 'dist/bin/run-pipeline.js')
const network = { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] }

export interface Ended {
  /** null where a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command; `during` may act on it as it writes to standard error. */
export function runPipeline(
  args: readonly string[],
  { env = {}, during }: { env?: NodeJS.ProcessEnv; during?: (child: ChildProcess, stderr: string) => void } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // A scheduler of the machine that the tests run on is none of theirs.
    const outside = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(SLURM|JOB_COMP|CTFLOW)/.test(name)),
    )
    const child = spawn(process.execPath, [bin, ...args], { env: { ...outside, NODE_OPTIONS: '', ...env } })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', chunk => (stdout += chunk))
    child.stderr.on('data', chunk => {
      stderr += chunk
      during?.(child, stderr)
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
  })
}

/** A folder with `infer.json`, weights and `scans/`: `good` that can be read, and `damaged` in one way or another. */
export async function batchIn(
  folder: string,
  { good, damaged = 0 }: { good: number; damaged?: number },
): Promise<string> {
  const definition = {
    task: 'infer',
    memory: '1GiB',
    engine: { threads: 1 },
    dataset: { directory: 'scans' },
    network: { ...network, weights: 'weights.safetensors' },
    stages: [
      { kind: 'load', keys: ['image'] },
      { kind: 'clip' },
      { kind: 'infer', window: [16, 16, 8] },
      { kind: 'save' },
    ],
    output: 'out',
  }
  writeFileSync(join(folder, 'infer.json'), JSON.stringify(definition))
  await writeWeights(join(folder, 'weights.safetensors'), 1)
  mkdirSync(join(folder, 'scans/deep'), { recursive: true })
  for (let i = 0; i < good; i++) await writeScan(scanPath(folder, i), i)
  for (let i = 0; i < damaged; i++) {
    const path = join(folder, `scans/damaged-${i}.nii.gz`)
    const whole = readFileSync(scanPath(folder, i % good))
    writeFileSync(path, i % 3 === 0 ? whole.subarray(0, whole.length / 2) : i % 3 === 1 ? 'no scan' : Buffer.alloc(0))
  }
  return join(folder, 'infer.json')
}

/** Every third one lies deeper, so that ids have folders in them. */
export function scanPath(folder: string, i: number): string {
  return join(folder, 'scans', i % 3 === 0 ? 'deep' : '', `scan-${String(i).padStart(3, '0')}.nii.gz`)
}

/** Voxels differ from scan to scan, so that no mask can stand for another. */
export function writeScan(
  path: string,
  seed: number,
  shape: readonly [number, number, number] = [24, 20, 12],
): Promise<void> {
  const [x, y, z] = shape
  const voxels = Int16Array.from(
    { length: x * y * z },
    (_, i) => Math.round(700 * Math.sin(i * (0.01 + 0.003 * seed)) * Math.cos(i * 0.37 + seed)) - 300,
  )
  return writeNifti(path, { grid: { shape, affine: [1, 0, 0, seed, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1] }, voxels })
}

/** A network that has learned nothing, of the definition `infer.json` in the same folder. */
export async function writeWeights(path: string, seed: number): Promise<void> {
  const engine = await openEngineFor(loadDefinition(join(dirname(path), 'infer.json'), [`seed=${seed}`]))
  try {
    await writeCheckpoint(path, await engine.save(), { network })
  } finally {
    await engine.close()
  }
}

/** Masks below an output folder by path. */
export function masksIn(output: string): Map<string, Buffer> {
  const folder = join(output, 'masks')
  if (!existsSync(folder)) return new Map()
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.nii.gz'))
  return new Map(names.toSorted().map(name => [name, readFileSync(join(folder, name))]))
}

/** The lines of cases in a manifest, all runs'. */
export function linesIn(path: string): CaseLine[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  return lines.map(line => JSON.parse(line) as CaseLine).filter(line => 'case' in line)
}
