/** Figures along time: past evaluations, and the epochs of a training. */

import type { HistoryRecord, Report } from '../../schemas/report.ts'
import { numberOf } from '../figure.ts'
import { ink, type Chart } from './chart.ts'
import { counted, dateText, dayText, fixed, significant } from './format.ts'
import { boundsOf, labelOf } from './metrics.ts'

/** Most runs that are drawn: the last ones. */
export const mostRuns = 60

/** How a run is drawn: as a circle, a triangle, a square. */
const kinds = ['gates passed', 'gate missed', 'other data set']

/** A metric's mean in past evaluations, with its interval; undefined where fewer than two have it. */
export function historyChart(report: Report, metric: string): Chart | undefined {
  const now = report.history.find(({ id }) => id === report.id)
  const shown = report.history.slice(-mostRuns)
  const days = shown.map(({ created }) => dayText(created))
  // The day alone says too little of runs of one day.
  const isShared = new Set(days).size < days.length
  const timeOf = ({ created }: HistoryRecord): string => (isShared ? dateText(created).slice(0, 16) : dayText(created))
  const runs = shown.flatMap((record, i) => {
    const figures = record.figures[metric]
    const mean = numberOf(figures?.mean)
    if (mean === null || !Number.isFinite(mean)) return []
    const [low, high] = [numberOf(figures!.low), numberOf(figures!.high)]
    const isKnown = low !== null && high !== null && Number.isFinite(low) && Number.isFinite(high)
    const kind =
      now && record.data !== now.data ? 'other data set' : record.gates.length > 0 ? 'gate missed' : 'gates passed'
    // What the axis shows after the bar; what stands before it keeps runs of one minute apart.
    return [{ run: `${i}|${timeOf(record)}`, mean, low: isKnown ? low : mean, high: isKnown ? high : mean, kind }]
  })
  if (runs.length < 2) return undefined
  const label = labelOf(report, metric)
  const means = runs.map(({ mean }) => mean)
  const ends = [...runs.map(({ low }) => low), ...runs.map(({ high }) => high)]
  const x = {
    field: 'run',
    type: 'ordinal',
    sort: null,
    title: null,
    axis: {
      // Day and time one below the other.
      labelExpr: 'split(split(datum.value, "|")[1], " ")',
      labelAngle: 0,
      labelOverlap: 'greedy',
      labelFlush: true,
      labelSeparation: 12,
    },
  }
  const scale = {
    domain: padded(Math.min(...ends), Math.max(...ends), boundsOf(report, metric)),
    nice: true,
    zero: false,
  }
  const y = { field: 'mean', type: 'quantitative', title: null, scale, axis: { tickCount: 5 } }
  return {
    title: `${label} over past runs`,
    alt: `Mean ${label} of ${counted(runs.length, 'run')}, oldest first: ${short(means[0]!)} in the first, ${short(means.at(-1)!)} in this one; lowest ${short(Math.min(...means))}, highest ${short(Math.max(...means))}.`,
    caption: 'Mean, with its 95 % interval as a band. Triangle: a gate was missed; square: another data set.',
    isWide: true,
    spec: () => ({
      height: 200,
      data: { values: runs },
      layer: [
        {
          mark: { type: 'area', color: ink.mark, opacity: 0.16 },
          encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' } },
        },
        { mark: { type: 'line', color: ink.mark, strokeWidth: 1.6 }, encoding: { x, y } },
        {
          mark: { type: 'point', filled: true, size: 48, opacity: 1 },
          encoding: {
            x,
            y,
            color: {
              field: 'kind',
              type: 'nominal',
              legend: null,
              scale: { domain: kinds, range: [ink.mark, ink.accent, ink.faint] },
            },
            shape: {
              field: 'kind',
              type: 'nominal',
              legend: null,
              scale: { domain: kinds, range: ['circle', 'triangle-up', 'square'] },
            },
          },
        },
      ],
    }),
  }
}

/** One line over the epochs of a training. */
export interface Curve {
  readonly title: string
  readonly axis: string
  readonly points: readonly { readonly epoch: number; readonly value: number }[]
  /** The least and the largest value that there can be. */
  readonly bounds: readonly [number, number]
  /** Whether numbers along the axis are powers of ten. */
  readonly isExponential?: boolean
  /** An epoch that is marked, with words beside it. */
  readonly mark?: { readonly epoch: number; readonly text: string }
}

/** Undefined where there is nothing to draw. */
export function epochChart({ title, axis, points, bounds, isExponential, mark }: Curve): Chart | undefined {
  const drawn = points.filter(({ value }) => Number.isFinite(value))
  if (drawn.length === 0) return undefined
  const values = drawn.map(({ value }) => value)
  const [first, last] = [drawn[0]!, drawn.at(-1)!]
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const domain = padded(low, high, bounds)
  const x = {
    field: 'epoch',
    type: 'quantitative',
    title: 'epoch',
    scale: { zero: false, nice: false },
    axis: { tickCount: 6, tickMinStep: 1, format: 'd' },
  }
  const y = {
    field: 'value',
    type: 'quantitative',
    title: axis,
    scale: { zero: false, nice: true, domain },
    axis: { tickCount: 4, ...(isExponential ? { format: exponential(domain) } : {}) },
  }
  const at = mark && drawn.filter(({ epoch }) => epoch === mark.epoch)
  const isLate = mark !== undefined && mark.epoch - first.epoch > (last.epoch - first.epoch) / 2
  const dots =
    drawn.length <= 40 ? [{ mark: { type: 'circle', size: 18, color: ink.mark, opacity: 1 }, encoding: { x, y } }] : []
  const marks = at
    ? [
        { data: { values: at }, mark: { type: 'circle', size: 70, color: ink.accent, opacity: 1 }, encoding: { x, y } },
        {
          data: { values: at.map(point => ({ ...point, text: mark.text })) },
          mark: { type: 'text', align: isLate ? 'right' : 'left', dx: isLate ? -8 : 8, dy: -10, color: ink.text },
          encoding: { x, y, text: { field: 'text' } },
        },
      ]
    : []
  return {
    title,
    alt: `${axis} over ${counted(drawn.length, 'epoch')}: ${significant(first.value, 4)} in epoch ${first.epoch}, ${significant(last.value, 4)} in epoch ${last.epoch}, lowest ${significant(low, 4)}, highest ${significant(high, 4)}${mark ? `; ${mark.text}` : ''}.`,
    isWide: true,
    spec: () => ({
      height: 190,
      data: { values: drawn },
      layer: [{ mark: { type: 'line', color: ink.mark, strokeWidth: 1.6 }, encoding: { x, y } }, ...dots, ...marks],
    }),
  }
}

/** Intervals of groups, one below the other. */
export function groupsChart(
  title: string,
  axis: string,
  groups: readonly { readonly name: string; readonly mean: number; readonly low: number; readonly high: number }[],
  digits: number,
  bounds: readonly [number, number],
): Chart | undefined {
  if (groups.length === 0) return undefined
  const values = groups.map((group, i) => ({ ...group, row: `${i}|${group.name}` }))
  const y = {
    field: 'row',
    type: 'nominal',
    sort: null,
    title: null,
    axis: { labelExpr: 'slice(datum.value, indexof(datum.value, "|") + 1)', labelLimit: 190, labelColor: ink.text },
  }
  const ends = groups.flatMap(({ low, high }) => [low, high])
  const scale = { zero: false, nice: true, domain: padded(Math.min(...ends), Math.max(...ends), bounds) }
  const x = { field: 'mean', type: 'quantitative', title: axis, scale, axis: { grid: true, tickCount: 5 } }
  return {
    title,
    alt: groups
      .map(
        ({ name, mean, low, high }) =>
          `${name}: ${fixed(mean, digits)}, 95 % ${fixed(low, digits)} to ${fixed(high, digits)}`,
      )
      .join('; '),
    spec: () => ({
      height: 26 * groups.length + 46,
      data: { values },
      layer: [
        {
          mark: { type: 'rule', color: ink.mark, strokeWidth: 1.6 },
          encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y },
        },
        { mark: { type: 'circle', color: ink.mark, size: 60, opacity: 1 }, encoding: { x, y } },
      ],
    }),
  }
}

function short(value: number): string {
  return significant(value, 3)
}

/** From `low` to `high` with some space, but none where no value can be. */
function padded(low: number, high: number, [least, most]: readonly [number, number]): [number, number] {
  const by = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1
  return [Math.max(low - by, Math.min(least, low)), Math.min(high + by, Math.max(most, high))]
}

function exponent(value: number): number {
  return Math.floor(Math.log10(value))
}

/** A format of d3 that tells some four ticks of the domain apart. */
function exponential([low, high]: readonly [number, number]): string {
  const digits = exponent(Math.max(Math.abs(low), Math.abs(high))) - exponent((high - low) / 4)
  return `.${Math.min(6, Math.max(1, digits))}e`
}

/** Records of the history that a table lists: the last ones, newest first. */
export function lastRuns(history: readonly HistoryRecord[]): readonly HistoryRecord[] {
  return history.slice(-mostRuns).toReversed()
}
