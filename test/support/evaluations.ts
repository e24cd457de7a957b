/** Reports and records by hand, and evaluations of tiny masks, for tests of what is done with them. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeNifti } from '../../imaging/nifti-write.ts'
import type { HistoryRecord, Report } from '../../schemas/report.ts'
import { gridOf } from './nifti.ts'

const spread = { mean: 0.7, median: 0.7, min: 0.6, max: 0.8, sd: 0.1, low: 0.65, high: 0.75 }

/** A report of one case, created at `created`. */
export function reportOf(id: string, created = createdOf(id), mean = 0.7): Report {
  const summary = { dice: { ...spread, mean, cases: 1, infinite: 0, undefined: 0 } }
  return {
    format: 'ctflow-report-1',
    id,
    title: 'by hand',
    created,
    run: { ctflow: '0', definition: 'd', model: null, seed: 0, engine: null, seconds: 1, peakRssBytes: 1 },
    data: { name: 'n', hash: 'h', cases: 1, missing: [] },
    emptyRule: 'strict',
    metrics: { dice: { label: 'Dice', unit: '', better: 'higher' } },
    summary,
    monai: {},
    strict: {},
    strata: [],
    comparison: null,
    gates: [],
    history: [],
    cases: [{ case: 'a', isMissing: false, fields: {}, metrics: { dice: mean }, monai: {}, strict: {} }],
    worst: ['a'],
    failures: [],
  }
}

function createdOf(id: string): string {
  const [date, time] = id.split('T') as [string, string]
  return `${date}T${time.slice(0, 8).replaceAll('-', ':')}.000Z`
}

export function recordBy(
  id: string,
  { mean = 0.7, ...rest }: Partial<HistoryRecord> & { mean?: number } = {},
): HistoryRecord {
  return {
    format: 'ctflow-history-1',
    id,
    created: createdOf(id),
    title: 'by hand',
    data: '0123456789abcdef',
    model: null,
    definition: 'd',
    emptyRule: 'strict',
    cases: { evaluated: 3, missing: 0, failed: 0 },
    figures: { dice: { mean, median: 0.7, low: 0.65, high: 0.75 } },
    gates: [],
    ...rest,
  }
}

/** Puts a report into an output folder, as an evaluation does. */
export function placeReport(output: string, report: Report): void {
  const folder = join(output, 'reports', report.id)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'report.json'), JSON.stringify(report))
}

/**
 * A folder with `evaluate.json`, whose mean Dice over `pairs` of masks, each a row of voxels, is known by hand. A pair
 * without a reference cannot be read.
 */
export async function evaluationIn(
  folder: string,
  {
    pairs = [
      { prediction: [1, 1, 0, 0], reference: [1, 1, 0, 0] },
      { prediction: [1, 0, 0, 0], reference: [0, 0, 1, 0] },
    ],
    ...fields
  }: { pairs?: readonly { prediction: readonly number[]; reference?: readonly number[] }[] } & Record<
    string,
    unknown
  > = {},
): Promise<string> {
  for (const [i, { prediction, reference }] of pairs.entries()) {
    const grid = gridOf([prediction.length, 1, 1], [2, 1, 1])
    await writeNifti(join(folder, `masks/scans/${i}.nii.gz`), { grid, voxels: Uint8Array.from(prediction) })
    if (reference) await writeNifti(join(folder, `labels/${i}.nii.gz`), { grid, voxels: Uint8Array.from(reference) })
  }
  const testing = pairs.map((_, i) => ({ image: `scans/${i}.nii.gz`, label: `labels/${i}.nii.gz` }))
  writeFileSync(join(folder, 'list.json'), JSON.stringify({ testing }))
  const definition = {
    task: 'evaluate',
    memory: '256MiB',
    dataset: { list: 'list.json', predictions: 'masks' },
    stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
    output: 'out',
    ...fields,
  }
  writeFileSync(join(folder, 'evaluate.json'), JSON.stringify(definition))
  return join(folder, 'evaluate.json')
}
