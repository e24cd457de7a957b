/** `run-pipeline merge`: the manifests of shards become one. */

import { resolve } from 'node:path'
import { notice } from '../pipeline/notice.ts'
import { mergeShards } from '../pipeline/merge.ts'
import { perform } from './command.ts'

export interface MergeFlags {
  readonly json?: boolean
}

/** Exit code 3 where some cases have failed. */
export function mergeCommand(output: string, { json }: MergeFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const summary = mergeShards(resolve(output))
    const { ok, failed, skipped } = summary.cases
    const lines = [
      `${summary.shards} shards`,
      `cases: ${ok} ok, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
      ...summary.failures.map(({ case: id, reason }) => `failed: ${id}: ${reason}`),
      `results: ${summary.output}`,
      notice,
    ]
    return { exitCode: summary.exitCode, lines, facts: { ...summary } }
  })
}
