/** Which metrics of a report are shown where, and what they are. */

import type { Report } from '../../schemas/report.ts'

/** How a metric is said to people: its label, with its unit where it has one. */
export function labelOf(report: Report, metric: string): string {
  const found = report.metrics[metric]
  if (!found) return metric
  return found.unit === '' ? found.label : `${found.label} (${found.unit})`
}

/** Whether its values lie from 0 to 1, as Dice and sensitivity do. */
export function isShare(report: Report, metric: string): boolean {
  const { unit, better } = report.metrics[metric] ?? { unit: '', better: 'neither' }
  return unit === '' && better === 'higher'
}

/** The least and the largest value that a metric can have. */
export function boundsOf(report: Report, metric: string): readonly [number, number] {
  if (isShare(report, metric)) return [0, 1]
  return report.metrics[metric]?.better === 'lower' ? [0, Infinity] : [-Infinity, Infinity]
}

/** The metrics by which a page is read first, Dice before all, as far as the report has them. */
export function headlineMetrics(report: Report): string[] {
  const names = shownMetrics(report)
  const wanted = [
    /^dice(_class\d+)?$/,
    /^nsd_/,
    /^hd\d/,
    /^assd/,
    /^lesionF1(_class\d+)?$/,
    /^lesionSensitivity(_class\d+)?$/,
    /^absoluteDifferenceMl/,
    /^differenceMl/,
    /^falsePositiveMl/,
  ]
  const found = wanted.flatMap(pattern => names.filter(name => pattern.test(name)).slice(0, 4))
  return found.length > 0 ? found : names.slice(0, 6)
}

/** All metrics, in the order of the report. */
export function shownMetrics(report: Report): string[] {
  return Object.keys(report.metrics)
}

/** What names end in where there are several classes: `_class1` and so on; one empty text where there is one. */
export function classSuffixes(report: Report, metric: string): string[] {
  const names = shownMetrics(report)
  if (names.includes(metric)) return ['']
  const pattern = new RegExp(`^${metric}(_class\\d+)$`)
  return names.flatMap(name => pattern.exec(name)?.[1] ?? [])
}

/** A class's name in a heading; nothing where there is one class. */
export function classText(suffix: string): string {
  return suffix === '' ? '' : `, class ${suffix.slice('_class'.length)}`
}

const definitions: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/^dice$/, 'Twice the voxels that mask and reference share, over the voxels of both. 1 is equal, 0 is apart.'],
  [/^iou$/, 'Voxels that mask and reference share, over the voxels that either has.'],
  [/^sensitivity$/, 'Share of the reference that the mask found.'],
  [/^precision$/, 'Share of the mask that lies in the reference.'],
  [/^(predicted|reference)Voxels$/, 'Voxels counted.'],
  [/^(predicted|reference)Ml$/, 'Voxels times the volume of one.'],
  [/^differenceMl$/, 'Volume of the mask minus that of the reference.'],
  [/^absoluteDifferenceMl$/, 'The same without its sign.'],
  [/^differencePercent$/, 'Volume of the mask minus that of the reference, as a share of the reference.'],
  [/^absoluteDifferencePercent$/, 'The same without its sign.'],
  [/^hd$/, 'Hausdorff distance: the farthest that any point of one surface is from the other surface.'],
  [/^hd\d+/, 'That percentile of the distances from one surface to the other; the larger of both directions.'],
  [/^assd$/, 'Average distance from one surface to the other, over the points of both.'],
  [/^nsd_/, 'Surface Dice: share of both surfaces that lies within that distance of the other one.'],
  [
    /^lesions$/,
    'Connected lesions of the reference, touching by faces, edges or corners, of at least the smallest size.',
  ],
  [/^predictedLesions$/, 'The same of the mask.'],
  [/^lesionSensitivity$/, 'Share of the lesions of the reference that the mask touches.'],
  [/^lesionPrecision$/, 'Share of the lesions of the mask that touch the reference.'],
  [/^lesionF1$/, 'Harmonic mean of lesion sensitivity and lesion precision.'],
  [/^lesion(Sensitivity|Precision|F1)Iou$/, 'The same, where two lesions match only if they overlap enough (IoU).'],
  [/^falsePositiveMl$/, 'Volume of the mask in scans without lesion in the reference; not defined in other scans.'],
]

/** One sentence on what a metric is; nothing for one that is not known. */
export function definitionOf(metric: string): string | undefined {
  const base = metric.replace(/_class\d+$/, '')
  return definitions.find(([pattern]) => pattern.test(base))?.[1]
}
