/** Shards' manifests become one, and one summary. Nothing is written before all of them are found whole and of one batch. */

import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { distribution } from '../stages/index.ts'
import { PipelineError } from './errors.ts'
import { toJson } from './json.ts'
import { holderOf, lockOutput } from './lock.ts'
import {
  keepManifest,
  readManifest,
  type CaseLine,
  type Manifest,
  type ManifestHead,
  type ManifestRun,
} from './manifest.ts'
import { notWritable } from './not-writable.ts'
import { listDigest, shardName, shardText, shareOf, type Shard } from './shard.ts'
import { exitCodes, type CaseCounts, type Failure, type Status } from './summary.ts'

/** What `summary.json` holds after a merge. */
export interface MergedSummary {
  readonly status: Status
  readonly exitCode: number
  readonly task: 'infer'
  readonly output: string
  readonly shards: number
  readonly definition: string
  readonly model: string | null
  /** Of all cases together, each as long as it took in the shard that computed it. */
  readonly seconds: number
  readonly cases: CaseCounts
  readonly metrics: Readonly<Record<string, unknown>>
  readonly failures: readonly Failure[]
}

/**
 * Joins `manifest-i-of-n.jsonl` to `manifest.jsonl` and writes `summary.json`. A manifest of a whole run that was there is
 * kept as the previous one. ERR_LOCKED where a shard is still running; ERR_DATASET where one is missing or unfinished, they
 * are not of one batch, or a whole run came after them; ERR_OUTPUT where the folder cannot be read or written.
 */
export function mergeShards(output: string): MergedSummary {
  const count = shardsIn(output)
  const shards = Array.from({ length: count }, (_, i): Shard => ({ index: i + 1, count }))
  refuseRunning(output, shards)
  const unlock = lock(output)
  try {
    const runs = shards.map(shard => lastRun(output, shard))
    refuseStrangers(runs, shards)
    refuseUnfinished(runs, shards)
    const lines = joined(runs)
    const head: ManifestHead = { ...runs[0]!.head, shard: null, merged: count, started: earliest(runs) }
    const summary = summaryOf(output, head, lines)
    const path = join(output, 'manifest.jsonl')
    const before = readManifest(path)
    if (before) refuseOlder(path, before, head.started)
    writeWhole(
      path,
      [head, ...lines].map(line => `${toJson(line)}\n`).join(''),
      () => before && before.runs.at(-1)?.head.merged === undefined && keepManifest(path),
    )
    writeWhole(join(output, 'summary.json'), `${toJson(summary, 2)}\n`)
    return summary
  } finally {
    unlock()
  }
}

function lock(output: string): () => void {
  try {
    return lockOutput(output)
  } catch (error) {
    throw error instanceof PipelineError ? error : notWritable(output, error)
  }
}

/** Of how many shards there are manifests; all must say the same. */
function shardsIn(output: string): number {
  let names: string[]
  try {
    names = readdirSync(output)
  } catch (error) {
    throw new PipelineError(
      'ERR_OUTPUT',
      `${output}: expected the output folder of a batch: ${(error as Error).message}`,
      { path: output },
      { cause: error },
    )
  }
  const counts = new Set(names.flatMap(name => /^manifest-\d+-of-(\d+)\.jsonl$/.exec(name)?.slice(1).map(Number) ?? []))
  const [count, ...others] = [...counts].toSorted((a, b) => a - b)
  if (count === undefined)
    throw refused(
      `${output}: expected manifests of shards (manifest-1-of-4.jsonl), found none; a whole run needs no merge`,
    )
  if (others.length > 0)
    throw refused(
      `${output}: expected the shards of one batch, found manifests of ${[count, ...others].join(' and of ')} shards; delete those that are not meant`,
    )
  return count
}

function refuseRunning(output: string, shards: readonly Shard[]): void {
  for (const shard of shards) {
    const holder = holderOf(output, shard)
    if (holder !== undefined)
      throw new PipelineError(
        'ERR_LOCKED',
        `${join(output, shardName('.lock', shard))}: shard ${shardText(shard)} is still running (${holder}); merge when it has ended; if that process is gone for good, delete the file`,
        { path: output },
      )
  }
}

/** A resumed run says again of every case how it stands, so the last one is enough. */
function lastRun(output: string, shard: Shard): ManifestRun {
  const path = join(output, shardName('manifest.jsonl', shard))
  const run = readManifest(path)?.runs.at(-1)
  if (!run)
    throw refused(
      `${path}: shard ${shardText(shard)} is missing; run it with --shard ${shardText(shard)}, then merge again`,
    )
  return run
}

function refuseStrangers(runs: readonly ManifestRun[], shards: readonly Shard[]): void {
  const first = runs[0]!.head
  for (const [field, what] of [
    ['definition', 'definition'],
    ['model', 'model'],
    ['list', 'list of cases'],
  ] as const) {
    const other = runs.findIndex(({ head }) => head[field] !== first[field])
    if (other > 0)
      throw refused(
        `shards ${shardText(shards[0]!)} and ${shardText(shards[other]!)} ran with another ${what}; run both again with the same one (--resume keeps what is done with it)`,
      )
  }
}

function refuseUnfinished(runs: readonly ManifestRun[], shards: readonly Shard[]): void {
  const unfinished = shards.flatMap((shard, i) => {
    const { head, lines } = runs[i]!
    const [found, expected] = [new Set(lines.map(line => line.case)).size, shareOf(head.cases, shard)]
    return found === expected ? [] : [`shard ${shardText(shard)} has ${found} of ${expected} cases`]
  })
  if (unfinished.length > 0)
    throw refused(
      `${unfinished.join('; ')}; run ${unfinished.length === 1 ? 'it' : 'them'} again with --resume, then merge again`,
    )
}

/** A whole run that came after a shard may have made the shard's cases anew; one that ended before its first case has not. */
function refuseOlder(path: string, { runs }: Manifest, started: string): void {
  const newer = runs.find(({ head, lines }) => head.merged === undefined && lines.length > 0 && head.started > started)
  if (newer)
    throw refused(
      `${path}: a whole run began at ${newer.head.started}, after the first of the shards (${started}), so its manifest is the newer one; keep that (nothing is to be merged), or run all shards again with --resume, then merge again`,
    )
}

/** One line per case, in the order of their ids. */
function joined(runs: readonly ManifestRun[]): CaseLine[] {
  const lines = new Map(runs.flatMap(run => run.lines.map(line => [line.case, line] as const)))
  const { list } = runs[0]!.head
  const all = [...lines.values()].toSorted((a, b) => (a.case < b.case ? -1 : 1))
  if (listDigest(all.map(line => ({ id: line.case }))) !== list)
    throw refused('the cases of the shards together are not those of the batch; run all shards again with --resume')
  return all
}

function earliest(runs: readonly ManifestRun[]): string {
  return runs.map(({ head }) => head.started).toSorted()[0]!
}

function summaryOf(
  output: string,
  { definition, model, merged }: ManifestHead,
  lines: readonly CaseLine[],
): MergedSummary {
  const of = (status: CaseLine['status']): CaseLine[] => lines.filter(line => line.status === status)
  const failures = of('failed').map(line => ({
    case: line.case,
    stage: line.stage ?? '',
    code: line.code ?? '',
    reason: line.reason ?? '',
  }))
  const status = failures.length > 0 ? 'partial' : 'ok'
  const made = lines.filter(line => line.status !== 'failed')
  return {
    status,
    exitCode: exitCodes[status],
    task: 'infer',
    output,
    shards: merged!,
    definition,
    model,
    seconds: lines.reduce((sum, { seconds }) => sum + seconds, 0),
    cases: { ok: of('ok').length, failed: failures.length, skipped: of('skipped').length },
    metrics: { secondsPerCase: distribution(made.map(({ seconds }) => seconds)) },
    failures,
  }
}

/** The file appears whole or not at all; `before` is done when all is written and nothing yet replaced. */
function writeWhole(path: string, text: string, before: () => unknown = () => {}): void {
  const part = `${path}.part`
  try {
    writeFileSync(part, text, { flush: true })
    before()
    renameSync(part, path)
  } catch (error) {
    rmSync(part, { force: true })
    throw error instanceof PipelineError ? error : notWritable(path, error)
  }
}

function refused(message: string): PipelineError {
  return new PipelineError('ERR_DATASET', message)
}
