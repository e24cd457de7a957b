/** Cases as points: agreement of volumes, and Dice against the size of the lesion. */

import type { Report } from '../../schemas/report.ts'
import { numberOf } from '../figure.ts'
import { ink, type Chart, type Spec } from './chart.ts'
import { counted, fixed, millilitres } from './format.ts'
import { classText, labelOf } from './metrics.ts'

/** Most cases that are drawn as points; of more, squares tell how many there are, and only the worst are points. */
const mostPoints = 400
/** Squares along an axis. */
const squares = 32
/** Cases that are marked with their rank: the worst by what the chart shows. */
const marked = 5

const height = 260

interface Point {
  readonly x: number
  readonly y: number
  /** Place among all cases, worst first, from 1. */
  readonly rank: number
}

/** Bland and Altman's: the difference of both volumes against their mean. Undefined where no case has both. */
export function blandAltmanChart(report: Report, suffix: string): Chart | undefined {
  const points = pointsOf(report, `predictedMl${suffix}`, `referenceMl${suffix}`).map(({ x, y, rank }) => ({
    x: (x + y) / 2,
    y: x - y,
    rank,
  }))
  if (points.length === 0) return undefined
  const n = points.length
  const mean = points.reduce((sum, { y }) => sum + y, 0) / n
  const sd = n < 2 ? 0 : Math.sqrt(points.reduce((sum, { y }) => sum + (y - mean) ** 2, 0) / (n - 1))
  const lines = [
    { y: mean, text: 'mean' },
    ...(n < 2 || sd === 0
      ? []
      : [
          { y: mean + 1.96 * sd, text: '+1.96 SD' },
          { y: mean - 1.96 * sd, text: '−1.96 SD' },
        ]),
  ]
  const outside = points
    .filter(({ y }) => Math.abs(y - mean) > 1.96 * sd)
    .toSorted((a, b) => Math.abs(b.y - mean) - Math.abs(a.y - mean))
  const farthest = new Set(outside.slice(0, marked))
  const most = Math.max(...points.map(({ x }) => x), Number.MIN_VALUE)
  const x = { title: 'mean of both volumes (ml)', domain: [0, most * 1.04] } as const
  const ys = [...points.map(({ y }) => y), ...lines.map(({ y }) => y), 0]
  const y = { title: 'mask − reference (ml)', domain: widened(Math.min(...ys), Math.max(...ys)) } as const
  const limits =
    n < 2
      ? 'one case has no limits of agreement'
      : `limits of agreement ${millilitres(mean - 1.96 * sd)} to ${millilitres(mean + 1.96 * sd)} ml`
  const text = `mean difference ${millilitres(mean)} ml, ${limits}`
  return {
    title: `Bland–Altman of volumes${classText(suffix)}`,
    alt: `Difference of the volumes of mask and reference against their mean, ${counted(n, 'case')}: ${text}; ${counted(outside.length, 'case lies', 'cases lie')} outside.`,
    caption: `${counted(n, 'case')}; ${text}.${farthest.size > 0 ? ' Numbers are ranks in the table, worst first.' : ''}`,
    isWide: true,
    spec: () => ({
      // Beside the plot, where no point is, the lines are named.
      padding: { left: 2, right: 66, top: 6, bottom: 2 },
      ...scatter(points, point => farthest.has(point), x, y, [
        {
          data: { values: lines },
          mark: { type: 'rule', color: ink.accent },
          encoding: {
            y: { field: 'y', type: 'quantitative' },
            strokeDash: { condition: { test: 'indexof(datum.text, "mean") === 0', value: [1, 0] }, value: [5, 4] },
          },
        },
        {
          data: { values: lines },
          mark: { type: 'text', align: 'left', baseline: 'middle', dx: 6, fontSize: 11, color: ink.text },
          encoding: { y: { field: 'y', type: 'quantitative' }, x: { value: 'width' }, text: { field: 'text' } },
        },
      ]),
    }),
  }
}

/** Dice against the reference's volume on a logarithmic axis; scans without lesion stand to the left of it. */
export function diceBySizeChart(report: Report, suffix: string): Chart | undefined {
  const dice = report.metrics[`dice${suffix}`] ? `dice${suffix}` : 'dice'
  const found = pointsOf(report, `referenceMl${suffix}`, dice)
  if (found.length === 0) return undefined
  const sizes = found.map(({ x }) => x).filter(x => x > 0)
  const low = 10 ** Math.floor(Math.log10(Math.min(...sizes, 10)))
  const high = 10 ** Math.ceil(Math.log10(Math.max(...sizes, low * 10)))
  const empty = found.filter(({ x }) => x <= 0).length
  // Half a decade before the axis, where there is no zero.
  const zero = low / 10 ** 0.5
  const points = found.map(point => ({ ...point, x: point.x > 0 ? point.x : zero }))
  const ticks = Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i)
  const x = {
    title: 'lesion in the reference (ml)',
    domain: [empty > 0 ? zero / 1.5 : low, high],
    log: true,
    axis: {
      values: empty > 0 ? [zero, ...ticks] : ticks,
      labelExpr: `datum.value < ${low * 0.99} ? "none" : format(datum.value, "~g")`,
    },
  } as const
  const label = labelOf(report, dice)
  const groups = [
    { name: 'below 10 ml', in: found.filter(({ x }) => x > 0 && x < 10) },
    { name: '10 ml and more', in: found.filter(({ x }) => x >= 10) },
    { name: 'without lesion', in: found.filter(({ x }) => x <= 0) },
  ].filter(group => group.in.length > 0)
  const told = groups
    .map(
      group =>
        `${group.name} ${fixed(group.in.reduce((sum, { y }) => sum + y, 0) / group.in.length, 3)} (${group.in.length})`,
    )
    .join(', ')
  return {
    title: `${label} against lesion size`,
    alt: `${label} of ${counted(found.length, 'case')} against the volume of the reference. Mean by size, with cases: ${told}.`,
    caption: `Mean: ${told}. Numbers are ranks in the table, worst first.`,
    isWide: true,
    spec: () =>
      scatter(
        points,
        ({ rank }) => rank <= marked,
        x,
        { title: label, domain: [0, Math.max(1, ...points.map(point => point.y))] },
        [],
      ),
  }
}

interface Axis {
  readonly title: string
  readonly domain: readonly number[]
  readonly log?: boolean
  readonly axis?: object
}

function scatter(
  points: readonly Point[],
  isMarked: (point: Point) => boolean,
  x: Axis,
  y: Axis,
  layers: readonly object[],
): Spec {
  const channel = (field: string, { title, domain, log, axis }: Axis): object => ({
    field,
    type: 'quantitative',
    title,
    scale: { domain, nice: false, zero: false, ...(log ? { type: 'log' } : {}) },
    axis: { tickCount: 5, ...axis },
  })
  const encoding = { x: channel('x', x), y: channel('y', y) }
  const worst = points.filter(isMarked)
  const others = points.filter(point => !isMarked(point))
  const crowd: object =
    points.length <= mostPoints
      ? {
          data: { values: others },
          mark: { type: 'circle', size: points.length > 150 ? 16 : 26, color: ink.mark, opacity: 0.7 },
          encoding,
        }
      : {
          data: { values: squaresOf(others, x, y) },
          mark: { type: 'rect', color: ink.mark },
          encoding: {
            ...encoding,
            x2: { field: 'x2' },
            y2: { field: 'y2' },
            opacity: { field: 'count', type: 'quantitative', scale: { type: 'sqrt', range: [0.15, 1] }, legend: null },
          },
        }
  return {
    height,
    layer: [
      crowd,
      ...layers,
      { data: { values: worst }, mark: { type: 'circle', size: 34, color: ink.accent, opacity: 1 }, encoding },
      {
        data: { values: worst },
        mark: { type: 'text', dx: 7, align: 'left', baseline: 'middle', fontSize: 11, color: ink.text },
        encoding: { ...encoding, text: { field: 'rank' } },
      },
    ],
  }
}

/** How many points lie in each square of the plot. */
function squaresOf(points: readonly Point[], x: Axis, y: Axis): object[] {
  const along = ({ domain, log }: Axis): { place: (value: number) => number; edge: (place: number) => number } => {
    const to = log ? Math.log : (value: number) => value
    const back = log ? Math.exp : (value: number) => value
    const [low, high] = [to(domain[0]!), to(domain[1]!)]
    return {
      place: value => Math.min(squares - 1, Math.max(0, Math.floor(((to(value) - low) / (high - low)) * squares))),
      edge: place => back(low + ((high - low) * place) / squares),
    }
  }
  const [across, up] = [along(x), along(y)]
  const counts = new Map<number, number>()
  for (const point of points) {
    const key = up.place(point.y) * squares + across.place(point.x)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts].map(([key, count]) => {
    const [i, j] = [key % squares, Math.floor(key / squares)]
    return { x: across.edge(i), x2: across.edge(i + 1), y: up.edge(j), y2: up.edge(j + 1), count }
  })
}

/** Cases in which both metrics are finite. */
function pointsOf(report: Report, x: string, y: string): Point[] {
  const ranks = new Map(report.worst.map((id, i) => [id, i + 1]))
  return report.cases.flatMap(({ case: id, metrics }) => {
    const [a, b] = [numberOf(metrics[x]), numberOf(metrics[y])]
    if (a === null || b === null || !Number.isFinite(a) || !Number.isFinite(b)) return []
    return [{ x: a, y: b, rank: ranks.get(id) ?? Infinity }]
  })
}

function widened(low: number, high: number): [number, number] {
  const by = (high - low) * 0.08 || 1
  return [low - by, high + by]
}
