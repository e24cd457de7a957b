/** Definitions and made-up data sets for tests of what is told before a run. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { validateDefinition, type Definition } from '../../pipeline/definition.ts'
import type { Explanation } from '../../pipeline/explain.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { gridOf } from './nifti.ts'

/** Little time to calibrate in. */
export const quick = { budgets: { engine: 0.05, cases: 0.05, labels: 0.2 } }
export const network = { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] }
export const phantoms = { training: 5, validation: 2, testing: 2, seed: 3, shape: [48, 40, 16] }
export const prefix = [
  { kind: 'load' },
  { kind: 'map-label', classes: 2 },
  { kind: 'resample', spacing: [7, 7, 14] },
  { kind: 'clip' },
  { kind: 'crop-foreground' },
]
export const training = [
  ...prefix,
  { kind: 'pad', size: [32, 32, 8] },
  { kind: 'cache' },
  { kind: 'crop', size: [32, 32, 8] },
  { kind: 'augment' },
  { kind: 'batch', size: 2 },
  { kind: 'train', epochs: 3, validate: { every: 1, window: [32, 32, 8], overlap: 0.25 } },
]

/** A training of phantoms, with some fields replaced. */
export function definitionIn(dir: string, fields: object): Definition {
  const base = { task: 'train', seed: 5, memory: '1GiB', network, output: 'out', stages: training }
  const dataset = { phantoms: { ...phantoms, folder: 'phantoms' } }
  return validateDefinition({ ...base, dataset, ...fields }, dir)
}

interface Scan {
  readonly shape?: Shape3
  readonly spacing?: readonly number[]
  /** Of the label, mm. */
  readonly shift?: number
  readonly lesion?: boolean
  readonly labelValue?: number
}

/** A data list of made-up scans. */
export async function listOf(dir: string, scans: Readonly<Record<string, Scan>>): Promise<{ list: string }> {
  const entries = []
  for (const [name, scan] of Object.entries(scans)) {
    const { shape = [40, 40, 12], spacing = [7, 7, 14], shift = 0, lesion = true, labelValue = 1 } = scan
    const n = shape[0] * shape[1] * shape[2]
    const image = new Int16Array(n).map((_, i) => (i % 700) - 600)
    const label = new Uint8Array(n)
    if (lesion) label.fill(labelValue, n >> 1, (n >> 1) + 40)
    await writeNifti(join(dir, `${name}.nii.gz`), { grid: gridOf(shape, spacing), voxels: image })
    await writeNifti(join(dir, `${name}-label.nii.gz`), { grid: gridOf(shape, spacing, [shift, 0, 0]), voxels: label })
    entries.push({ image: `${name}.nii.gz`, label: `${name}-label.nii.gz` })
  }
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ training: entries }))
  return { list: 'list.json' }
}

/** Messages by kind. */
export function warningsOf({ warnings }: Explanation): Record<string, string> {
  return Object.fromEntries(warnings.map(({ kind, message }) => [kind, message]))
}
