/** What metrics are called by people, their units, and which way is good. */

import type { Report } from '../schemas/report.ts'

export type MetricFacts = Report['metrics'][string]

type Better = MetricFacts['better']

const known: readonly (readonly [name: string, label: string, unit: string, better: Better])[] = [
  ['dice', 'Dice', '', 'higher'],
  ['iou', 'Intersection over union', '', 'higher'],
  ['sensitivity', 'Sensitivity', '', 'higher'],
  ['precision', 'Precision', '', 'higher'],
  ['hd', 'Hausdorff distance', 'mm', 'lower'],
  ['hd*', 'Hausdorff distance, percentile *', 'mm', 'lower'],
  ['assd', 'Average surface distance', 'mm', 'lower'],
  ['nsd_*mm', 'Surface Dice at * mm', '', 'higher'],
  ['differenceMl', 'Volume difference', 'ml', 'nearer-zero'],
  ['absoluteDifferenceMl', 'Absolute volume difference', 'ml', 'lower'],
  ['differencePercent', 'Relative volume difference', '%', 'nearer-zero'],
  ['absoluteDifferencePercent', 'Absolute relative volume difference', '%', 'lower'],
  ['falsePositiveMl', 'Volume marked in a scan without lesion', 'ml', 'lower'],
  ['lesionSensitivity', 'Lesion sensitivity', '', 'higher'],
  ['lesionPrecision', 'Lesion precision', '', 'higher'],
  ['lesionF1', 'Lesion F1', '', 'higher'],
  ['lesionSensitivityIou', 'Lesion sensitivity by IoU', '', 'higher'],
  ['lesionPrecisionIou', 'Lesion precision by IoU', '', 'higher'],
  ['lesionF1Iou', 'Lesion F1 by IoU', '', 'higher'],
  ['lesions', 'Lesions in the reference', '', 'neither'],
  ['predictedLesions', 'Lesions in the mask', '', 'neither'],
  ['referenceMl', 'Volume of the reference', 'ml', 'neither'],
  ['predictedMl', 'Volume of the mask', 'ml', 'neither'],
  ['referenceVoxels', 'Voxels of the reference', '', 'neither'],
  ['predictedVoxels', 'Voxels of the mask', '', 'neither'],
]

/** A number as it stands in a metric's name, such as the 0.5 of `nsd_0.5mm`. */
const number = '(\\d+(?:\\.\\d+)?(?:e-?\\d+)?)'

const entries = known.map(([name, label, unit, better], place) => ({
  pattern: new RegExp(`^${name.replace('*', number)}$`),
  label,
  unit,
  better,
  place,
}))

interface Named extends MetricFacts {
  readonly name: string
  readonly value: number
  readonly place: number
  readonly parameter: number
}

/**
 * The metrics by name, in the order in which they are shown: what is of no single class first, then class by class. Names
 * that are not known come last, as they came, with a label made of the name.
 */
export function metricFacts(names: readonly string[]): Report['metrics'] {
  const all = [...new Set(names)]
  const hasClasses = all.some(name => classOf(name).value > 0)
  const sorted = all
    .map(name => named(name, hasClasses))
    .toSorted((a, b) => a.value - b.value || a.place - b.place || a.parameter - b.parameter)
  return Object.fromEntries(sorted.map(({ name, label, unit, better }) => [name, { label, unit, better }]))
}

/** The class in the name's ending, 0 without one, and what comes before it. */
export function classOf(name: string): { readonly base: string; readonly value: number } {
  const [, base, value] = /^(.+)_class(\d+)$/.exec(name) ?? []
  return { base: base ?? name, value: Number(value ?? 0) }
}

function named(name: string, hasClasses: boolean): Named {
  const { base, value } = classOf(name)
  const entry = entries.find(({ pattern }) => pattern.test(base))
  const parameter = entry?.pattern.exec(base)?.[1]
  const label = entry ? entry.label.replace('*', parameter ?? '') : spelledOut(base)
  const of = value > 0 ? `, class ${value}` : hasClasses && base === 'dice' ? ', mean of the classes' : ''
  return {
    name,
    label: label + of,
    unit: entry ? entry.unit : unitIn(base),
    better: entry ? entry.better : 'neither',
    value,
    place: entry ? entry.place : entries.length,
    parameter: Number(parameter ?? 0),
  }
}

/** `meanDensityHu` as "Mean density hu". */
function spelledOut(name: string): string {
  const words = name
    .replaceAll('_', ' ')
    .replaceAll(/([a-z0-9])([A-Z])/g, (_, before: string, letter: string) => `${before} ${letter.toLowerCase()}`)
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function unitIn(name: string): string {
  if (/(?:Ml|_ml)$/.test(name)) return 'ml'
  if (/(?:Mm|_mm)$/.test(name)) return 'mm'
  return /percent$/i.test(name) ? '%' : ''
}
