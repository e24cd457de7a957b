/** Metrics of pairs of masks, and their reduction over cases. */

import { distribution } from '../../../pipeline/summary.ts'
import { overlap } from '../../../report/overlap.ts'
import { largest, overCases, type Check } from './check.ts'
import type { References } from './references.ts'

export const metricChecks: readonly Check[] = [
  {
    step: 'Dice',
    quantity: 'of each pair of masks',
    unit: 'of 1',
    tolerance: 1e-6,
    run: references =>
      overCases(references.index.metrics?.cases, 'pairs', ({ pred, truth, dice }) =>
        apart(diceOf(references, pred, truth, 1), dice),
      ),
  },
  {
    step: 'reductions',
    quantity: 'Dice of each class and case, and the mean over cases',
    unit: 'of 1',
    tolerance: 1e-6,
    run: async references => {
      const { reductions } = references.index
      if (!reductions) return undefined
      const classes = Array.from({ length: reductions.classes - 1 }, (_, c) => c + 1)
      const table = reductions.cases.map(({ pred, truth }) => classes.map(c => diceOf(references, pred, truth, c)))
      const single = table.flatMap((row, i) => row.map((value, c) => apart(value, reductions.values.none[i]![c]!)))
      const means = classes.map((_, c) =>
        apart(distribution(table.map(row => row[c]!)).mean, reductions.values['mean_batch']![c]!),
      )
      return { difference: largest([...single, ...means]), count: `${table.length} cases of ${classes.length} classes` }
    },
  },
]

function diceOf(references: References, pred: string, truth: string, value: number): number | null {
  const [a, b] = [references.array(pred).data as Uint8Array, references.array(truth).data as Uint8Array]
  return overlap(a, b, { value, emptyRule: 'monai', voxelMl: 1 }).dice
}

/** Two values, either of which may be undefined (null). */
function apart(found: number | null, expected: number | null): number {
  if (found === null || expected === null) return found === expected ? 0 : Infinity
  return Math.abs(found - expected)
}
