/** How a metric is spread over the cases: a dot for each case, or bars where there are many, above a box. */

import type { Report, Spread } from '../../schemas/report.ts'
import { quantile } from '../distribution.ts'
import { numberOf } from '../figure.ts'
import { ink, type Chart, type Spec } from './chart.ts'
import { counted, figureText, intervalText, summaryText } from './format.ts'
import { isShare, labelOf } from './metrics.ts'

/** Most cases that are drawn as dots, one upon the other where they are equal. */
const mostDots = 150

/** Places along the axis: dots of one place are stacked. */
const dotPlaces = 56
const barPlaces = 40

const heights = { values: 88, box: 30 }

/** A chart of one metric; undefined where no case has a finite value. */
export function distributionChart(report: Report, metric: string): Chart | undefined {
  const values = report.cases.map(({ metrics }) => numberOf(metrics[metric]))
  const finite = values
    .filter(value => value !== null && Number.isFinite(value))
    .toSorted((a, b) => a! - b!) as number[]
  if (finite.length === 0) return undefined
  const spread = report.summary[metric]
  const quartiles = [0.25, 0.5, 0.75].map(share => quantile(finite, share)) as [number, number, number]
  const [least, most] = [finite[0]!, finite.at(-1)!]
  const label = labelOf(report, metric)
  const infinite = values.filter(value => value !== null && !Number.isFinite(value)).length
  const absent = values.length - finite.length - infinite
  const beside = [
    infinite > 0 && `${counted(infinite, 'case is', 'cases are')} infinite`,
    absent > 0 && `${counted(absent, 'case has', 'cases have')} no value`,
  ].filter(text => text !== false)
  const said = (value: number): string => figureText(report, metric, value)
  const mean = spread === undefined ? '' : `mean ${summaryText(report, metric, spread.mean)}`
  const interval = spread === undefined ? '' : intervalText(report, metric, spread)
  return {
    title: label,
    alt: `${label} of ${counted(finite.length, 'case')}: from ${said(least)} to ${said(most)}, half of them between ${said(quartiles[0])} and ${said(quartiles[2])}, median ${said(quartiles[1])}${mean && `, ${mean}`}.${beside.map(text => ` ${text}, not drawn.`).join('')}`,
    caption:
      `${mean}${interval && ` (95 % ${interval})`}${beside.map(text => `; ${text}, not drawn`).join('')}`.replace(
        /^; /,
        '',
      ),
    spec: width => specOf(finite, quartiles, domainOf(report, metric, least, most), meanOf(finite, spread), width),
  }
}

function meanOf(
  finite: readonly number[],
  spread: Spread | undefined,
): { mean: number; low: number | undefined; high: number | undefined } {
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length
  return { mean, low: finiteOf(spread?.low), high: finiteOf(spread?.high) }
}

function finiteOf(figure: Parameters<typeof numberOf>[0]): number | undefined {
  const value = numberOf(figure)
  return value !== null && Number.isFinite(value) ? value : undefined
}

/** Shares are shown from 0 to 1 where they fill most of it; others as far as they go. */
function domainOf(report: Report, metric: string, least: number, most: number): [number, number] {
  if (isShare(report, metric) && least >= 0 && most <= 1) return [least >= 0.75 ? 0.5 : 0, 1]
  const [low, high] = [Math.min(0, least), Math.max(0, most)]
  return low === high ? [0, 1] : [low, high]
}

function specOf(
  finite: readonly number[],
  [lower, median, upper]: readonly [number, number, number],
  [from, to]: readonly [number, number],
  { mean, low, high }: { mean: number; low: number | undefined; high: number | undefined },
  width: number,
): Spec {
  const isDots = finite.length <= mostDots
  const places = isDots ? dotPlaces : barPlaces
  const step = (to - from) / places
  const counts = Array.from({ length: places }, () => 0)
  const placed = finite.map(value => {
    const place = Math.min(places - 1, Math.max(0, Math.floor((value - from) / step)))
    return { place, level: counts[place]!++ }
  })
  const scale = { domain: [from, to], nice: false, zero: false } as const
  const x = { field: 'x', type: 'quantitative', scale } as const
  const none = { axis: null } as const
  const highest = Math.max(...counts)
  // Few dots keep their size: they do not fill the height.
  const levels = Math.max(highest, isDots ? 12 : 1)
  const y = { field: 'y', type: 'quantitative', scale: { domain: [0, levels], nice: false }, ...none } as const
  const values: object = isDots
    ? {
        data: { values: placed.map(({ place, level }) => ({ x: from + (place + 0.5) * step, y: level + 0.5 })) },
        mark: { type: 'circle', size: Math.min(30, 560 / levels), color: ink.mark, opacity: 0.85 },
        encoding: { x: { ...x, axis: null }, y },
      }
    : {
        data: {
          values: counts.flatMap((y, place) =>
            y === 0 ? [] : [{ x: from + place * step, x2: from + (place + 1) * step, y }],
          ),
        },
        mark: { type: 'bar', color: ink.mark, opacity: 0.85 },
        encoding: {
          x: { ...x, axis: null },
          x2: { field: 'x2' },
          y: { ...y, axis: { title: 'cases', tickCount: 3, tickMinStep: 1 } },
          y2: { datum: 0 },
        },
      }
  const axis = { title: null, tickCount: 6 } as const
  const along = { x: { ...x, axis }, x2: { field: 'x2' } } as const
  const box = {
    height: heights.box,
    layer: [
      { data: span([finite[0]!, finite.at(-1)!]), mark: { type: 'rule', color: ink.mark }, encoding: along },
      {
        data: span([lower, upper]),
        mark: { type: 'bar', height: 14, fill: ink.ground, stroke: ink.mark, strokeWidth: 1.4 },
        encoding: along,
      },
      { data: at(median), mark: { type: 'tick', color: ink.mark, thickness: 2.4, size: 14 }, encoding: { x } },
      ...(low === undefined || high === undefined
        ? []
        : [{ data: span([low, high]), mark: { type: 'rule', color: ink.accent, strokeWidth: 2.4 }, encoding: along }]),
      ...(mean >= from && mean <= to
        ? [
            {
              data: at(mean),
              mark: { type: 'point', shape: 'diamond', filled: true, size: 70, color: ink.accent, opacity: 1 },
              encoding: { x },
            },
          ]
        : []),
    ],
  }
  return {
    autosize: { type: 'pad', contains: 'padding' },
    spacing: 2,
    vconcat: [
      { ...values, height: heights.values, width: width - 40 },
      { ...box, width: width - 40 },
    ],
    resolve: { scale: { x: 'shared' } },
  }
}

/** Data of a mark at one place, and of one that goes from there to another. */
function at(x: number): object {
  return { values: [{ x }] }
}
function span([x, x2]: readonly [number, number]): object {
  return { values: [{ x, x2 }] }
}
