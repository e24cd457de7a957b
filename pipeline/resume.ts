/** Which cases of a batch are done: an earlier run says so in a manifest, and inputs and outputs are as they were then. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { contentHash, fileHash, inputHash } from './hashes.ts'
import { lastLines, manifestsIn, type CaseLine, type OutputFile } from './manifest.ts'
import type { Case } from './flow.ts'

/** What an earlier run must have had in common with this one. */
export interface Making {
  readonly definition: string
  readonly model: string | null
}

/** What the manifests in an output folder say. */
export interface Earlier {
  /** By case: lines that say it is done, made as this run would; any of them may be true. */
  readonly done: ReadonlyMap<string, readonly CaseLine[]>
  /** Cases that were done with another definition or model, and not with this one. */
  readonly otherwise: ReadonlySet<string>
  /** Lines that could not be read. */
  readonly unreadable: number
}

/** Reads the manifests of whole runs and of shards, previous ones too: what is done is done, whoever did it, whenever. */
export function readEarlier(output: string, making: Making): Earlier {
  const done = new Map<string, CaseLine[]>()
  const otherwise = new Set<string>()
  let unreadable = 0
  for (const manifest of manifestsIn(output)) {
    unreadable += manifest.unreadable
    for (const [id, { head, line }] of lastLines(manifest)) {
      if (line.status === 'failed' || line.content === null) continue
      if (head.definition === making.definition && head.model === making.model)
        done.set(id, [...(done.get(id) ?? []), line])
      else otherwise.add(id)
    }
  }
  for (const id of done.keys()) otherwise.delete(id)
  return { done, otherwise, unreadable }
}

/** The line that is true of the case as it lies there now; undefined where it has to be computed. */
export async function findDone(
  found: Case,
  lines: readonly CaseLine[],
  output: string,
  signal: AbortSignal,
): Promise<CaseLine | undefined> {
  try {
    const whole: CaseLine[] = []
    // What is cheap comes first: sizes, then the scan, then the outputs.
    for (const line of lines) if (await haveSizes(line.outputs, output)) whole.push(line)
    if (whole.length === 0) return undefined
    const content = await inputHash(found, path => contentHash(path, signal))
    for (const line of whole)
      if (line.content === content && (await areAsWritten(line.outputs, output, signal))) return line
  } catch {
    // Gone or unreadable meanwhile: computing it will tell what is wrong.
  }
  return undefined
}

async function haveSizes(outputs: readonly OutputFile[], output: string): Promise<boolean> {
  for (const { path, bytes } of outputs) {
    const status = await stat(join(output, path)).catch(() => undefined)
    if (!status?.isFile() || status.size !== bytes) return false
  }
  return true
}

async function areAsWritten(outputs: readonly OutputFile[], output: string, signal: AbortSignal): Promise<boolean> {
  for (const { path, sha256 } of outputs) if ((await fileHash(join(output, path), signal)) !== sha256) return false
  return true
}

/**
 * Those to compute, as somebody pulls: first `fresh`, meanwhile `doubtful` ones are checked one by one, and those that turn
 * out not to be done follow. Nothing is checked any more after `signal`.
 */
export function toCompute(
  fresh: readonly Case[],
  doubtful: readonly Case[],
  isDone: (found: Case) => Promise<boolean>,
  signal: AbortSignal,
): { readonly cases: AsyncGenerator<Case>; readonly checked: Promise<unknown> } {
  let last: Promise<boolean> = Promise.resolve(true)
  const verdicts = doubtful.map(found => {
    last = last.then(() => signal.aborted || isDone(found))
    // Who pulls will see the error; until then nobody does.
    last.catch(() => {})
    return { found, verdict: last }
  })
  async function* cases(): AsyncGenerator<Case> {
    yield* fresh
    for (const { found, verdict } of verdicts) if (!(await verdict)) yield found
  }
  return { cases: cases(), checked: last.catch(() => {}) }
}
