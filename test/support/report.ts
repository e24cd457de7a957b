/** Reports and trainings as runs leave them, of seeded cases, for tests of what is made of them. */

import { encode } from 'fast-png'
import { rng } from '../../pipeline/random.ts'
import type { Picture, Training } from '../../report/page/page.ts'
import type { Figure, HistoryRecord, Report, ReportedCase, Spread } from '../../schemas/report.ts'

const metric = (
  label: string,
  unit = '',
  better: Report['metrics'][string]['better'] = 'higher',
): Report['metrics'][string] => ({ label, unit, better })

export const metrics: Report['metrics'] = {
  dice: metric('Dice'),
  iou: metric('IoU'),
  sensitivity: metric('Sensitivity'),
  precision: metric('Precision'),
  hd: metric('HD', 'mm', 'lower'),
  hd95: metric('HD95', 'mm', 'lower'),
  assd: metric('ASSD', 'mm', 'lower'),
  nsd_1mm: metric('Surface Dice 1 mm'),
  nsd_3mm: metric('Surface Dice 3 mm'),
  predictedMl: metric('Predicted volume', 'ml', 'neither'),
  referenceMl: metric('Reference volume', 'ml', 'neither'),
  differenceMl: metric('Volume error', 'ml', 'nearer-zero'),
  absoluteDifferenceMl: metric('Absolute volume error', 'ml', 'lower'),
  differencePercent: metric('Volume error', '%', 'nearer-zero'),
  absoluteDifferencePercent: metric('Absolute volume error', '%', 'lower'),
  lesions: metric('Lesions', '', 'neither'),
  predictedLesions: metric('Predicted lesions', '', 'neither'),
  lesionSensitivity: metric('Lesion sensitivity'),
  lesionPrecision: metric('Lesion precision'),
  lesionF1: metric('Lesion F1'),
  falsePositiveMl: metric('False positives', 'ml', 'lower'),
  predictedVoxels: metric('Predicted voxels', '', 'neither'),
  referenceVoxels: metric('Reference voxels', '', 'neither'),
}

/** A report of so many cases: most are fair, some are missed, without lesion or without a mask. */
export function sampleReport(count: number, seed = 7): Report {
  const draws = rng(seed, 0, 0, 'report')
  const [random, normal] = [draws.uniform, draws.normal]
  const cases = Array.from({ length: count }, (_, i) => caseOf(i, random, normal))
  const worst = cases.toSorted((a, b) => diceOf(a) - diceOf(b)).map(each => each.case)
  const [summary, monai, strict] = [summaryOf(cases, 'metrics'), summaryOf(cases, 'monai'), summaryOf(cases, 'strict')]
  const history = Array.from({ length: 14 }, (_, i) => recordOf(i, summary, normal))
  const missing = cases.filter(({ isMissing }) => isMissing).map(each => each.case)
  const groups = (names: readonly string[], of: (each: ReportedCase) => string): Report['strata'][number]['groups'] =>
    names.map(name => {
      const inside = cases.filter(each => of(each) === name)
      return { name, cases: inside.length, summary: summaryOf(inside, 'metrics') }
    })
  return {
    format: 'ctflow-report-1',
    id: '2026-11-29T19-36-09Z',
    title: 'COVID-19 lesions, hold-out scans',
    created: '2026-11-29T19:36:09.000Z',
    run: {
      ctflow: '0.1.0',
      definition: 'd'.repeat(64),
      model: '3f'.repeat(32),
      seed: 0,
      engine: 'native, float32, avx512, 2 threads',
      seconds: 312.4,
      peakRssBytes: 812 * 2 ** 20,
    },
    data: { name: 'hold-out.json', hash: '7c'.repeat(32), cases: count + 1, missing },
    emptyRule: 'strict',
    metrics,
    summary,
    monai,
    strict,
    strata: [
      { by: 'referenceMl', groups: groups(['no lesion', 'below 10 ml', '10 to 100 ml', '100 ml and more'], sizeOf) },
      { by: 'hospital', groups: groups(['north', 'south', 'university'], each => each.fields['hospital']!) },
    ],
    comparison: {
      with: '2026-11-22T19-36-11Z',
      created: '2026-11-22T19:36:11.000Z',
      test: 'Wilcoxon signed-rank test',
      metrics: {
        dice: paired(worst, 0.021, 0.008, 0.034, 0.0021),
        hd95: paired(worst, -1.93, -4.2, 0.4, 0.093),
        nsd_1mm: paired(worst, -0.012, -0.02, -0.004, 0.0007),
        absoluteDifferenceMl: paired(worst, -3.1, -6.6, 0.2, 0.061),
      },
      onlyNow: cases.slice(0, 1).map(each => each.case),
      onlyBefore: ['withdrawn/scan-0007'],
      differs: ['model'],
    },
    gates: [
      { figure: 'dice.mean', rule: '>= 0.60', value: summary['dice']?.mean ?? null, passed: true, note: '' },
      { figure: 'dice.mean.drop', rule: '<= 0.02', value: -0.021, passed: true, note: '' },
      { figure: 'hd95.median', rule: '<= 2.5', value: summary['hd95']?.median ?? null, passed: false, note: '' },
    ],
    history,
    cases,
    worst,
    failures: [
      {
        case: 'south/scan-0099',
        stage: 'dice',
        code: 'ERR_GEOMETRY',
        reason:
          'the mask has 512 x 512 x 60 voxels, the reference 512 x 512 x 61, with corners up to 5 mm apart; resample one of them',
      },
    ],
  }
}

function diceOf({ metrics }: ReportedCase): number {
  return Number(metrics['dice'] ?? 2)
}

function sizeOf({ metrics }: ReportedCase): string {
  const ml = Number(metrics['referenceMl'])
  return ml === 0 ? 'no lesion' : ml < 10 ? 'below 10 ml' : ml < 100 ? '10 to 100 ml' : '100 ml and more'
}

/** The same report with everything but the figures taken out. */
export function bareReport(count: number): Report {
  const report = sampleReport(count)
  return {
    ...report,
    strata: [],
    comparison: null,
    gates: [],
    history: [],
    failures: [],
    data: { ...report.data, missing: [] },
  }
}

function caseOf(i: number, random: () => number, normal: () => number): ReportedCase {
  const hospital = ['north', 'south', 'university'][i % 3]!
  const hasLesion = random() > 0.07
  const isMissing = i % 41 === 17
  const referenceMl = hasLesion ? Math.exp(3.2 + 1.5 * normal()) : 0
  const skill = 1.2 + 0.35 * Math.log10(1 + referenceMl) + 0.7 * normal()
  const quality = isMissing ? 0 : 1 / (1 + Math.exp(-skill))
  const isMissed = isMissing || (hasLesion && random() < 0.03)
  const dice = hasLesion ? (isMissed ? 0 : quality) : random() < 0.6 ? 1 : 0
  const falseMl = !hasLesion && dice === 0 ? Math.exp(normal()) : 0
  const predictedMl = isMissed ? 0 : hasLesion ? referenceMl * (1 + 0.35 * (1 - quality) * normal() + 0.04) : falseMl
  const isEmptyPair = !hasLesion && predictedMl === 0
  const isOneEmpty = (referenceMl === 0) !== (predictedMl === 0)
  const distance = (mm: number): Figure => (isOneEmpty ? 'inf' : isEmptyPair ? 0 : mm)
  const nsd = (share: number): number => (isOneEmpty ? 0 : isEmptyPair ? 1 : Math.min(1, share))
  const hd95 = 1.2 + 38 * (1 - quality) ** 2 + Math.abs(normal())
  const lesions = hasLesion ? 1 + Math.floor(random() * 9) : 0
  const found = isMissed ? 0 : Math.round(lesions * Math.min(1, quality + 0.2))
  const percent = referenceMl === 0 ? null : (100 * (predictedMl - referenceMl)) / referenceMl
  const overlaps = {
    dice,
    iou: dice / (2 - dice),
    sensitivity: hasLesion ? Math.min(1, dice * 1.05) : dice,
    precision: hasLesion ? Math.min(1, dice * 0.97) : dice,
  }
  const distances = {
    hd: distance(hd95 * 2.4),
    hd95: distance(hd95),
    assd: distance(hd95 / 4.5),
    nsd_1mm: nsd(quality * 0.85),
    nsd_3mm: nsd(quality * 1.08),
  }
  return {
    case: `${hospital}/scan-${String(i + 1).padStart(4, '0')}`,
    isMissing,
    fields: { hospital },
    metrics: {
      ...overlaps,
      ...distances,
      predictedMl,
      referenceMl,
      differenceMl: predictedMl - referenceMl,
      absoluteDifferenceMl: Math.abs(predictedMl - referenceMl),
      differencePercent: percent,
      absoluteDifferencePercent: percent === null ? null : Math.abs(percent),
      lesions,
      predictedLesions: found + (isMissed ? 0 : Math.floor(random() * 2)),
      lesionSensitivity: lesions === 0 ? null : found / lesions,
      lesionPrecision: found === 0 ? null : Math.min(1, quality + 0.15),
      lesionF1: lesions === 0 ? null : found / lesions,
      falsePositiveMl: hasLesion ? null : falseMl,
      predictedVoxels: Math.round(predictedMl * 640),
      referenceVoxels: Math.round(referenceMl * 640),
    },
    monai: hasLesion
      ? { ...overlaps, ...distances, hd95: isOneEmpty ? 'inf' : hd95 }
      : { dice: null, iou: null, sensitivity: null, precision: isEmptyPair ? null : 0, hd95: null },
    strict: { ...overlaps, hd95: distances.hd95 },
  }
}

function summaryOf(cases: readonly ReportedCase[], which: 'metrics' | 'monai' | 'strict'): Record<string, Spread> {
  const names = Object.keys(metrics).filter(name => cases.some(each => each[which][name] !== undefined))
  return Object.fromEntries(names.map(name => [name, spreadOf(cases.map(each => each[which][name] ?? null))]))
}

function spreadOf(figures: readonly Figure[]): Spread {
  const finite = figures.filter(figure => typeof figure === 'number').toSorted((a, b) => a - b)
  const infinite = figures.filter(figure => figure === 'inf').length
  const counts = { cases: finite.length + infinite, infinite, undefined: figures.length - finite.length - infinite }
  const n = finite.length
  if (n === 0) {
    const none = infinite > 0 ? 'inf' : null
    return { mean: none, median: none, min: none, max: none, sd: null, low: null, high: null, ...counts }
  }
  const mean = finite.reduce((sum, figure) => sum + figure, 0) / n
  const sd = n < 2 ? 0 : Math.sqrt(finite.reduce((sum, figure) => sum + (figure - mean) ** 2, 0) / (n - 1))
  const half = (1.96 * sd) / Math.sqrt(n)
  const ends =
    infinite > 0
      ? ({ mean: 'inf', max: 'inf', low: null, high: null } as const)
      : { mean, max: finite.at(-1)!, low: mean - half, high: mean + half }
  return { ...ends, median: finite[Math.floor(n / 2)]!, min: finite[0]!, sd: infinite > 0 ? null : sd, ...counts }
}

function paired(
  cases: readonly string[],
  difference: number,
  low: number,
  high: number,
  p: number,
): NonNullable<Report['comparison']>['metrics'][string] {
  const [worse, better] = [cases.slice(0, Math.floor(cases.length / 4)), cases.slice(Math.floor(cases.length / 4), -2)]
  return { cases: cases.length, difference, low, high, p, better, worse, equal: Math.min(2, cases.length) }
}

function recordOf(i: number, summary: Report['summary'], normal: () => number): HistoryRecord {
  const day = new Date(Date.UTC(2026, 7, 30 + 7 * i, 19, 36, 9)).toISOString()
  const isLast = i === 13
  const figures = ['dice', 'hd95', 'nsd_1mm', 'lesionF1'].map(name => {
    const spread = summary[name]
    if (!spread || typeof spread.median !== 'number') return [name, { mean: null, median: null, low: null, high: null }]
    const mean = typeof spread.mean === 'number' ? spread.mean : spread.median
    const at = isLast ? mean : mean * (0.86 + 0.009 * i + 0.02 * normal())
    return [name, { mean: at, median: at, low: at * 0.96, high: at * 1.04 }]
  })
  return {
    format: 'ctflow-history-1',
    id: isLast ? '2026-11-29T19-36-09Z' : `${day.slice(0, 19).replaceAll(':', '-')}Z`,
    created: day,
    title: 'COVID-19 lesions, hold-out scans',
    data: i < 3 ? 'aa'.repeat(32) : '7c'.repeat(32),
    model: (i < 8 ? '1b' : '3f').repeat(32),
    definition: 'd'.repeat(64),
    emptyRule: 'strict',
    cases: { evaluated: 60, missing: 1, failed: 1 },
    figures: Object.fromEntries(figures),
    gates: i % 5 === 4 || isLast ? ['hd95.median'] : [],
  }
}

/** A picture of nothing much. */
export function samplePicture(id: string, why: Picture['why']): Picture {
  const [width, height] = [96, 72]
  const data = Uint8Array.from({ length: width * height }, (_, at) => (at * 7) % 251)
  return {
    case: id,
    why,
    png: encode({ width, height, data, channels: 1, depth: 8 }),
    width,
    height,
    alt: `Axial plane of ${id}`,
    caption: 'Plane 31 of 60.',
  }
}

/** A training of so many epochs that gets better and then does not. */
export function sampleTraining(count: number): Training {
  const random = rng(3, 0, 0, 'training').uniform
  const epochs = Array.from({ length: count }, (_, i) => ({
    epoch: i + 1,
    loss: 0.25 + 0.9 * Math.exp(-i / 9) + 0.03 * random(),
    learningRate: 2e-4 * (1 - i / count) ** 0.9,
    patchesPerSecond: 2.4 + 0.3 * random(),
    ...(i % 2 === 1 ? { dice: 0.82 - 0.7 * Math.exp(-i / 7) + 0.015 * random() } : {}),
  }))
  const best = epochs.filter(({ dice }) => dice !== undefined).toSorted((a, b) => b.dice! - a.dice!)[0]
  return {
    title: 'Training on the phantoms',
    created: '2026-11-29T18:00:00.000Z',
    facts: [
      ['data set', '24 phantoms for training, 6 for validation'],
      ['network', 'SegResNet, 8 filters, 1.18 million parameters'],
      ['engine', 'native, float32, avx512'],
      ['program', 'ctflow 0.1.0'],
    ],
    epochs,
    ...(best ? { best: { epoch: best.epoch, dice: best.dice! } } : {}),
    pictures: [samplePicture('phantom-25', 'worst'), samplePicture('phantom-26', 'median')],
  }
}
