/** A part of a batch: which cases one of several machines takes, and how its files are called. */

import { createHash } from 'node:crypto'
import { PipelineError } from './errors.ts'
import type { Case } from './flow.ts'

/** One of `count` parts; `index` is 1 to `count`. */
export interface Shard {
  readonly index: number
  readonly count: number
}

/** A shard and, where the environment named it, the words for that. */
export interface FoundShard {
  readonly shard: Shard
  readonly from?: string
}

const most = 100_000

/** From `--shard i/n`. Throws ERR_DEFINITION. */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,6})\/(\d{1,6})$/.exec(text)?.map(Number) ?? []
  if (index === undefined || count === undefined || index < 1 || index > count || count > most)
    throw refused(`--shard: expected i/n with 1 <= i <= n <= ${most}, such as 1/4; found "${text}"`)
  return { index, count }
}

/** From the variables of a Slurm array or a Kubernetes indexed job; nothing where there are none. Throws ERR_DEFINITION. */
export function shardFromEnvironment(env: Readonly<Record<string, string | undefined>>): FoundShard | undefined {
  if (env['SLURM_ARRAY_TASK_ID'] !== undefined) return fromSlurm(env)
  if (env['JOB_COMPLETION_INDEX'] !== undefined) return fromKubernetes(env)
  return undefined
}

/** Ids may begin anywhere and lie apart by a step: `--array=0-3`, `1-4`, `10-40:10`. */
function fromSlurm(env: Readonly<Record<string, string | undefined>>): FoundShard {
  const id = whole(env, 'SLURM_ARRAY_TASK_ID')
  const count = whole(env, 'SLURM_ARRAY_TASK_COUNT')
  const min = whole(env, 'SLURM_ARRAY_TASK_MIN')
  const step = env['SLURM_ARRAY_TASK_STEP'] === undefined ? 1 : whole(env, 'SLURM_ARRAY_TASK_STEP')
  const max = env['SLURM_ARRAY_TASK_MAX'] === undefined ? undefined : whole(env, 'SLURM_ARRAY_TASK_MAX')
  const index = (id - min) / step
  // Every task must see that ids are missing: else the cases of those would be nobody's.
  if (
    !Number.isInteger(index) ||
    index < 0 ||
    index >= count ||
    (max !== undefined && min + (count - 1) * step !== max)
  )
    throw refused(
      `SLURM_ARRAY_TASK_ID=${id}: expected ids at equal distances, found ${count} from ${min}${max === undefined ? '' : ` to ${max}`} in steps of ${step}; use --array=1-${count}, or name the part with --shard i/n (--shard 1/1 for the whole)`,
    )
  return { shard: { index: index + 1, count }, from: `the Slurm array (SLURM_ARRAY_TASK_ID=${id})` }
}

/** Kubernetes tells a pod its index, not how many there are: the Job's manifest does. */
function fromKubernetes(env: Readonly<Record<string, string | undefined>>): FoundShard {
  const index = whole(env, 'JOB_COMPLETION_INDEX')
  if (env['CTFLOW_SHARDS'] === undefined)
    throw refused(
      `JOB_COMPLETION_INDEX=${index} tells which part this is, but not of how many: set CTFLOW_SHARDS to the Job's "completions" in its env, or name the part with --shard i/n (--shard 1/1 for the whole)`,
    )
  const count = whole(env, 'CTFLOW_SHARDS')
  if (index >= count || count > most)
    throw refused(
      `JOB_COMPLETION_INDEX=${index}: expected an index below CTFLOW_SHARDS=${count}; set CTFLOW_SHARDS to the Job's "completions"`,
    )
  return { shard: { index: index + 1, count }, from: `the Kubernetes Job (JOB_COMPLETION_INDEX=${index})` }
}

function whole(env: Readonly<Record<string, string | undefined>>, name: string): number {
  const text = env[name]
  if (text === undefined || !/^\d{1,9}$/.test(text))
    throw refused(
      `${name}: expected a whole number, found ${text === undefined ? 'nothing' : `"${text}"`}; or pass --shard i/n`,
    )
  return Number(text)
}

function refused(message: string): PipelineError {
  return new PipelineError('ERR_DEFINITION', message)
}

/** The shard's cases, in the order of the list: case i of the ids in their order belongs to shard i mod n. */
export function casesOf(cases: readonly Case[], shard: Shard | undefined): readonly Case[] {
  if (!shard) return cases
  const mine = new Set(sortedIds(cases).filter((_, i) => i % shard.count === shard.index - 1))
  return cases.filter(({ id }) => mine.has(id))
}

/** How many of `total` cases are the shard's. */
export function shareOf(total: number, { index, count }: Shard): number {
  return Math.max(0, Math.ceil((total - (index - 1)) / count))
}

/** SHA-256 of the ids in their order, one a line: whether two runs mean the same cases. */
export function listDigest(cases: readonly { readonly id: string }[]): string {
  return createHash('sha256').update(sortedIds(cases).join('\n')).digest('hex')
}

/** By code units, which no locale changes. */
function sortedIds(cases: readonly { readonly id: string }[]): string[] {
  return cases.map(({ id }) => id).toSorted()
}

/** What a shard calls its own: "summary-1-of-4.json" where a whole run writes "summary.json"; also ".lock" and folders. */
export function shardName(name: string, shard: Shard | undefined): string {
  return shard ? name.replace(/^\.?[^.]+/, stem => `${stem}-${shard.index}-of-${shard.count}`) : name
}

/** As people write it. */
export function shardText({ index, count }: Shard): string {
  return `${index}/${count}`
}
