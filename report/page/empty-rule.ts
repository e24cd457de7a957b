/** How cases with empty masks count, in words: docs/metrics.md, of the metrics that a report has. */

import type { Report } from '../../schemas/report.ts'
import { classOf } from '../metric-names.ts'
import { shownMetrics } from './metrics.ts'

type Group = 'shares' | 'distances' | 'percentile' | 'surfaceDice' | 'lesions'

const groups: readonly (readonly [pattern: RegExp, group: Group])[] = [
  [/^(dice|iou|sensitivity|precision)$/, 'shares'],
  [/^(hd|assd)$/, 'distances'],
  [/^hd\d/, 'percentile'],
  [/^nsd_/, 'surfaceDice'],
  [/^lesion(Sensitivity|Precision|F1)/, 'lesions'],
]

const sentences: Readonly<Record<Report['emptyRule'], readonly (readonly [of: readonly Group[], text: string])[]>> = {
  strict: [
    [
      ['shares'],
      'A missing mask counts as an empty one. Where mask or reference is empty, Dice and all other shares are 0; where both are, they are 1.',
    ],
    [
      ['distances', 'percentile'],
      'Distances are then the diagonal of the image, which counts as missed, or 0 mm where both are empty.',
    ],
  ],
  monai: [
    [
      ['shares'],
      "By MONAI's rule, Dice, IoU and sensitivity leave cases out whose reference is empty, and precision those whose mask is; precision is 0 where the reference alone is empty, the others are where the mask alone is.",
    ],
    [['lesions'], 'Lesions are counted likewise, F1 as Dice is.'],
    [
      ['distances'],
      'Hausdorff and average distances are infinite where one of both is empty, and not defined where both are.',
    ],
    [['percentile'], 'A percentile of the Hausdorff distance is not defined where either is empty.'],
    [['surfaceDice'], 'Surface Dice is 0 where one of both is empty, and not defined where both are.'],
  ],
}

/** A sentence for each group of metrics that a report has and that its rule is about; none without such metrics. */
export function emptyRuleText(report: Report): string {
  const bases = shownMetrics(report).map(name => classOf(name).base)
  const has = new Set(groups.flatMap(([pattern, group]) => (bases.some(base => pattern.test(base)) ? [group] : [])))
  return sentences[report.emptyRule]
    .filter(([of]) => of.some(group => has.has(group)))
    .map(([, text]) => text)
    .join(' ')
}
