/** Figures that must hold: `{"dice.mean": ">= 0.70", "dice.mean.drop": "<= 0.02"}`. */

import { suggestion } from '../pipeline/problems.ts'
import type { HistoryRecord, Report } from '../schemas/report.ts'
import type { MetricNames } from './case-metrics.ts'
import { figureOf, numberOf } from './figure.ts'
import { caseCounts } from './record.ts'

/** What of a metric's spread has a name here. */
export const statistics = ['mean', 'median', 'min', 'max', 'sd', 'low', 'high'] as const
type Statistic = (typeof statistics)[number]

/** Prefixes of figures by one rule for empty masks, whichever was chosen. */
const rules = ['monai', 'strict'] as const
type Rule = (typeof rules)[number]

const counts: readonly (keyof HistoryRecord['cases'])[] = ['evaluated', 'missing', 'failed']
const changes = ['drop', 'rise'] as const

type Named =
  | { readonly of: 'cases'; readonly count: keyof HistoryRecord['cases'] }
  | {
      readonly of: 'summary' | Rule
      readonly metric: string
      readonly statistic: Statistic
      /** drop: the earlier report's figure minus this one's; rise: the other way. */
      readonly change?: (typeof changes)[number]
    }

const comparisons = {
  '>=': (value: number, bound: number) => value >= bound,
  '<=': (value: number, bound: number) => value <= bound,
  '>': (value: number, bound: number) => value > bound,
  '<': (value: number, bound: number) => value < bound,
  '==': (value: number, bound: number) => value === bound,
} as const

interface Bound {
  readonly comparison: keyof typeof comparisons
  readonly bound: number
}

/** What of a report its gates look at. */
export type Gated = Pick<Report, 'summary' | Rule | 'cases' | 'data' | 'failures' | 'emptyRule'>

/** What is wrong with each gate, for a definition; `names` are of the metrics that its evaluation will have, where that is known. */
export function gateProblems(gates: Readonly<Record<string, string>>, names?: MetricNames): string[] {
  return Object.entries(gates).flatMap(([figure, rule]) => {
    const named = parseFigure(figure)
    const parsed = parseRule(rule)
    const problems = [named, parsed].filter(found => typeof found === 'string')
    if (names && typeof named === 'object' && named.of !== 'cases') {
      const metrics = named.of === 'summary' ? names.metrics : names.byRule
      if (!metrics.includes(named.metric))
        problems.push(`there is no metric "${named.metric}"${byText(named.of)}; ${suggestion(named.metric, metrics)}`)
    }
    return problems.map(problem => `gate "${figure}": ${problem}`)
  })
}

/**
 * Evaluates gates, in their order, in float64 and without tolerance. A figure that is null or not there misses its gate,
 * and the note says why. A drop or rise without an earlier figure passes, with a note. RangeError for gates in which `gateProblems`
 * finds something.
 */
export function evaluateGates(
  gates: Readonly<Record<string, string>>,
  now: Gated,
  earlier?: { readonly path: string; readonly report: Gated },
): Report['gates'] {
  return Object.entries(gates).map(([figure, rule]) => {
    const named = parseFigure(figure)
    const parsed = parseRule(rule)
    if (typeof named === 'string') throw new RangeError(`gate "${figure}": ${named}`)
    if (typeof parsed === 'string') throw new RangeError(`gate "${figure}": ${parsed}`)
    const { value, note, passesWithout } = figureIn(named, now, earlier)
    const passed = value === null ? passesWithout === true : comparisons[parsed.comparison](value, parsed.bound)
    return { figure, rule, value: figureOf(value), passed, note }
  })
}

/**
 * How many digits behind the point it takes, `digits` at least, for a value not to look like the bound of its rule: 0.6996
 * is no 0.70.
 */
export function digitsBeside(value: number, rule: string, digits: number): number {
  const parsed = parseRule(rule)
  if (typeof parsed === 'string' || !Number.isFinite(value) || value === parsed.bound) return digits
  const most = 20
  let enough = digits
  while (enough < most && value.toFixed(enough) === parsed.bound.toFixed(enough)) enough++
  return enough
}

interface Found {
  readonly value: number | null
  readonly note: string
  /** There is nothing to compare with, which is no fault of this evaluation. */
  readonly passesWithout?: true
}

function figureIn(named: Named, now: Gated, earlier?: { readonly path: string; readonly report: Gated }): Found {
  if (named.of === 'cases') return { value: caseCounts(now)[named.count], note: '' }
  const after = valueOf(named, now)
  if (after === null) return { value: null, note: whyNot(named, now) }
  if (!named.change) return { value: after, note: '' }
  if (!earlier) return { value: null, note: 'there is no earlier report to compare with', passesWithout: true }
  const before = valueOf(named, earlier.report)
  if (before === null)
    return { value: null, note: `the earlier report, ${earlier.path}, lacks this figure`, passesWithout: true }
  const drop = before === after ? 0 : before - after
  const others = [
    now.data.hash !== earlier.report.data.hash && 'over other data',
    named.of === 'summary' && now.emptyRule !== earlier.report.emptyRule && 'by another rule for empty masks',
  ].filter(other => other !== false)
  return {
    value: named.change === 'drop' ? drop : 0 - drop,
    note: others.length > 0 ? `the earlier report, ${earlier.path}, is ${others.join(' and ')}` : '',
  }
}

function valueOf({ of, metric, statistic }: Exclude<Named, { of: 'cases' }>, report: Gated): number | null {
  return Object.hasOwn(report[of], metric) ? numberOf(report[of][metric]![statistic]) : null
}

function whyNot({ of, metric, statistic }: Exclude<Named, { of: 'cases' }>, report: Gated): string {
  const summary = report[of]
  const by = byText(of)
  if (!Object.hasOwn(summary, metric)) {
    const names = Object.keys(summary)
    if (names.length === 0) return `no case has metrics${by}`
    return `this evaluation has no metric "${metric}"${by}; ${suggestion(metric, names)}`
  }
  const { cases, infinite } = summary[metric]!
  if (cases === 0) return `${metric} is not defined for any case${by}`
  if (infinite > 0) return `${statistic} is not defined: ${metric} is infinite for ${infinite} of ${cases} cases`
  return `${statistic} is not defined for ${cases} ${cases === 1 ? 'case' : 'cases'}`
}

function byText(of: 'summary' | Rule): string {
  return of === 'summary' ? '' : of === 'monai' ? " by MONAI's rule" : ' by the strict rule'
}

/** What a gate's name means, or what is wrong with it. A metric's name may have dots in it, as `nsd_0.5mm`: read from the end. */
function parseFigure(figure: string): Named | string {
  const parts = figure.split('.')
  if (parts[0] === 'cases') {
    const name = parts.slice(1).join('.')
    const count = counts.find(count => count === name)
    return count ? { of: 'cases', count } : `there is no count "${name}"; ${suggestion(name, counts)}`
  }
  const change = changes.find(change => change === parts.at(-1))
  if (change) parts.pop()
  const of = rules.find(rule => rule === parts[0]) ?? 'summary'
  if (of !== 'summary') parts.shift()
  const last = parts.pop() ?? ''
  const metric = parts.join('.')
  if (metric === '')
    return `expected a metric and a statistic, such as "dice.mean", or a count, such as "cases.missing"`
  const statistic = statistics.find(statistic => statistic === last)
  if (!statistic) {
    if (change && changes.some(other => other === last)) return `expected one change, found "${last}.${change}"`
    const isChange = statistics.some(statistic => statistic === parts.at(-1))
    return isChange
      ? `there is no change "${last}"; ${suggestion(last, changes)}`
      : `there is no statistic "${last}"; ${suggestion(last, statistics)}`
  }
  return { of, metric, statistic, ...(change && { change }) }
}

function parseRule(rule: string): Bound | string {
  const [, comparison, bound] = /^\s*(>=|<=|>|<|==)\s*(\S+)\s*$/.exec(rule) ?? []
  if (comparison === undefined || !Number.isFinite(Number(bound)))
    return `expected a comparison (>=, <=, >, <, ==) and a number, such as ">= 0.70", found "${rule}"`
  return { comparison: comparison as Bound['comparison'], bound: Number(bound) }
}
