/** What came of a run, in lines for people. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { formatBytes } from './bytes.ts'
import type { Definition } from './definition.ts'
import { notice } from './notice.ts'
import type { Engine } from './engine.ts'
import { engineText } from './engine-text.ts'
import type { RunResult } from './summary.ts'
import type { CaseBook, TaskResult } from './tasks/task.ts'

/** The outcome, remarks, cases, time and place. */
export function describe(
  summary: RunResult,
  outcome: TaskResult,
  remarks: readonly string[],
  engine: Engine | undefined,
): string[] {
  const { ok, failed, skipped } = summary.cases
  return [
    ...outcome.lines,
    ...remarks.filter(remark => remark !== ''),
    `cases: ${ok} ok, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    ...summary.failures.map(({ case: id, reason }) => `failed: ${id}: ${reason}`),
    `${summary.seconds.toFixed(1)} s, peak memory ${formatBytes(summary.peakRssBytes)}${engine ? `, ${engineText(engine.info)}` : ''}`,
    ...(summary.status === 'failed' ? [] : [`results: ${summary.output}`]),
    notice,
  ]
}

/** Where cases were had from; nothing where no cache was asked. */
export function cacheLine(counts: ReadonlyMap<string, number>): string {
  const [memory, disk, misses, bytes] = ['hitsInMemory', 'hitsOnDisk', 'misses', 'peakBytes'].map(
    name => counts.get(`cache.${name}`) ?? 0,
  ) as [number, number, number, number]
  if (memory + disk + misses === 0) return ''
  const hits = [memory > 0 ? [`${memory} hits in memory`] : [], disk > 0 ? [`${disk} hits on disk`] : []].flat()
  return `cache: ${[...hits, `${misses} misses`].join(', ')}; at most ${formatBytes(bytes)} in memory`
}

/** Where the results of a run that did not end well are. */
export function keptLine(kept: string | undefined): string[] {
  return kept === undefined ? [] : [`what was made so far is in ${kept}`]
}

/** How to go on. Masks of a batch are where they belong already; of a training there are the weights of the last epoch. */
export function resumeLine(
  { task, output }: Definition,
  { counts: { ok, skipped } }: CaseBook,
  kept: string | undefined,
): string[] {
  const last = kept === undefined ? undefined : join(kept, 'last.safetensors')
  if (task === 'train' && last !== undefined && existsSync(last))
    return [
      `to train on from there, with the optimiser's state, set "network.weights" to ${last}; epochs then count from 1 again`,
    ]
  if (task !== 'infer' || ok + skipped === 0) return []
  return [`done so far: ${ok + skipped}, in ${output}; --resume goes on from there`]
}

/** The gates that were missed, each with its value; undefined where none was. */
export function missedLine(gates: TaskResult['gates'] = []): string | undefined {
  const missed = gates.filter(({ passed }) => !passed)
  if (missed.length === 0) return undefined
  return missed
    .map(({ figure, rule, value, note }) => {
      const found = value === null ? 'undefined' : String(value)
      return `gate missed: ${figure}: expected ${rule}, found ${found}${note === '' ? '' : ` (${note})`}`
    })
    .join('\n')
}
