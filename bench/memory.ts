/**
 * One number bounds memory: the same training of 40 phantoms of 256 x 256 x 120 under several limits and policies, each in
 * a process of its own, beside what `explain` has said before. Losses must be the same bit for bit.
 */

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseBytes } from '../pipeline/bytes.ts'
import { projectRoot } from './machine.ts'
import { spreadOf } from './statistics.ts'
import type { Facts, Measured, Result } from './trial.ts'

const execute = promisify(execFile)

interface Variant {
  readonly name: string
  readonly memory: string
  readonly cache?: object
}

const epochs = 3

/** The network of fixtures/pipelines/train.json on crops of its size. */
function definition({ name, memory, cache = {} }: Variant): object {
  return {
    task: 'train',
    seed: 1,
    memory,
    dataset: {
      phantoms: { training: 40, validation: 0, testing: 0, seed: 1, shape: [256, 256, 120], folder: 'phantoms' },
    },
    network: { kind: 'segresnet', initFilters: 8, blocksDown: [1, 2, 2, 2], blocksUp: [1, 1, 1] },
    stages: [
      { kind: 'load' },
      { kind: 'map-label', classes: 2 },
      { kind: 'channel-first' },
      { kind: 'clip', min: -1000, max: 0 },
      { kind: 'cache', ...cache },
      { kind: 'crop', size: [64, 64, 16], samples: 2 },
      { kind: 'augment' },
      { kind: 'batch', size: 2 },
      { kind: 'train', epochs, validate: { every: 0, test: false } },
    ],
    output: name,
  }
}

const disk = { folder: 'volumes' }
const variants: readonly Variant[] = [
  { name: '1GiB', memory: '1GiB' },
  { name: '2GiB', memory: '2GiB' },
  { name: '4GiB', memory: '4GiB' },
  { name: '1GiB-none', memory: '1GiB', cache: { policy: 'none' } },
  { name: '1GiB-disk', memory: '1GiB', cache: { policy: 'disk', disk } },
  { name: '1GiB-both', memory: '1GiB', cache: { policy: 'both', disk } },
]

/** Runs the command line in `folder`; what it prints as JSON. */
async function command(folder: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const bin = join(projectRoot(), 'dist', 'bin', 'run-pipeline.js')
  const { stdout } = await execute(process.execPath, [bin, ...args, '--json'], { cwd: folder, maxBuffer: 1 << 26 })
  return JSON.parse(stdout) as Record<string, unknown>
}

/** Peak resident bytes of each variant's run. Throws where losses differ. */
export async function memoryResults(tell: (result: Result) => void, wanted: string): Promise<Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ctflow-bench-memory-'))
  const results: Result[] = []
  let losses: string | undefined
  try {
    for (const variant of variants.filter(({ name }) => name.includes(wanted))) {
      const file = join(folder, `${variant.name}.json`)
      writeFileSync(file, JSON.stringify(definition(variant)))
      const explained = await command(folder, ['explain', file])
      await command(folder, [file])
      const ran = outcome(join(folder, variant.name))
      losses ??= ran.losses
      if (ran.losses !== losses) throw new Error(`${variant.name}: its losses are not those of the first variant`)
      const value = ran.peakRssBytes / 2 ** 20
      const result: Measured = {
        trial: `memory/${variant.name}`,
        unit: 'MiB',
        runs: 1,
        values: [value],
        ...spreadOf([value]),
        facts: factsOf(explained, ran, parseBytes(variant.memory)),
      }
      results.push(result)
      tell(result)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return results
}

interface Outcome {
  readonly losses: string
  readonly epochSeconds: readonly number[]
  readonly peakRssBytes: number
  readonly peakLiveBytes: number
  readonly counts: Readonly<Record<string, number>>
}

function outcome(folder: string): Outcome {
  const lines = (name: string): Record<string, number>[] =>
    readFileSync(join(folder, name), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, number>)
  const run = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as {
    memory: { peakLiveBytes: number }
    peakRssBytes: number
    counts: Record<string, number>
  }
  const ends = lines('metrics.jsonl').map(({ seconds }) => seconds!)
  return {
    losses: lines('steps.jsonl')
      .map(({ loss }) => loss)
      .join(' '),
    epochSeconds: ends.map((end, i) => end - (ends[i - 1] ?? 0)),
    peakRssBytes: run.peakRssBytes,
    peakLiveBytes: run.memory.peakLiveBytes,
    counts: run.counts,
  }
}

function factsOf(explained: Record<string, unknown>, ran: Outcome, limit: number): Facts {
  const { memory, time } = explained as {
    memory: { peakBytes: number }
    time: { epoch: { firstSeconds: number; laterSeconds: number } }
  }
  const { counts, epochSeconds } = ran
  return {
    'RSS over limit': ratio(ran.peakRssBytes, limit),
    'hits in memory': counts['cache.hitsInMemory'] ?? 0,
    'hits on disk': counts['cache.hitsOnDisk'] ?? 0,
    misses: counts['cache.misses'] ?? 0,
    'live bytes over explained': ratio(ran.peakLiveBytes, memory.peakBytes),
    'first epoch, s': epochSeconds[0]!.toFixed(1),
    'first epoch over explained': ratio(epochSeconds[0]!, time.epoch.firstSeconds),
    'last epoch, s': epochSeconds.at(-1)!.toFixed(1),
    'last epoch over explained': ratio(epochSeconds.at(-1)!, time.epoch.laterSeconds),
  }
}

function ratio(a: number, b: number): string {
  return (a / b).toFixed(2)
}
