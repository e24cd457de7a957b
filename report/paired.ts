/** This evaluation against an earlier one, case by case. */

import type { Report, ReportedCase } from '../schemas/report.ts'
import { intervalsOfMeans, type Resampling } from './bootstrap.ts'
import { figureOf, numberOf } from './figure.ts'
import type { MetricFacts } from './metric-names.ts'
import { wilcoxon, wilcoxonName } from './wilcoxon.ts'

export type Comparison = NonNullable<Report['comparison']>

/** What of a report a comparison needs. */
export type Comparable = Pick<Report, 'cases' | 'metrics' | 'run' | 'data' | 'emptyRule' | 'created'>

/**
 * Pairs cases by their ids. A metric is compared over those with a finite value in both; it is left out where only one
 * report has it. A case got better when its value went the way that the metric calls good; of a metric that has no good way, both lists
 * are empty. Values count as equal when they are the same float64. `path` is how people find the earlier report.
 */
export async function comparisonWith(
  now: Comparable,
  { path, report: before }: { readonly path: string; readonly report: Comparable },
  resampling: Resampling,
): Promise<Comparison> {
  const earlier = new Map(before.cases.map(one => [one.case, one]))
  const ids = new Set(now.cases.map(one => one.case))
  const pairs = now.cases.flatMap(one => {
    const other = earlier.get(one.case)
    return other ? [{ now: one, before: other }] : []
  })
  const names = Object.keys(now.metrics).filter(name => Object.hasOwn(before.metrics, name))
  const columns = names.map(name => pairs.map(pair => changeOf(pair, name)))
  const intervals = await intervalsOfMeans(
    columns.map(changes => changes.map(change => change && change.after - change.before)),
    resampling,
  )
  const metrics: Comparison['metrics'] = {}
  for (const [i, name] of names.entries()) {
    const changes = columns[i]!.filter(change => change !== null)
    const differences = changes.map(({ before, after }) => after - before)
    const sum = differences.reduce((sum, difference) => sum + difference, 0)
    metrics[name] = {
      cases: changes.length,
      difference: changes.length === 0 ? null : figureOf(sum / changes.length),
      low: figureOf(intervals[i]!.low),
      high: figureOf(intervals[i]!.high),
      p: wilcoxon(differences),
      ...directions(changes, now.metrics[name]!.better),
      equal: differences.filter(difference => difference === 0).length,
    }
    await resampling.pause()
  }
  return {
    with: path,
    created: before.created,
    test: wilcoxonName,
    metrics,
    onlyNow: now.cases.map(one => one.case).filter(id => !earlier.has(id)),
    onlyBefore: before.cases.map(one => one.case).filter(id => !ids.has(id)),
    differs: differencesOf(now, before),
  }
}

interface Change {
  readonly case: string
  readonly before: number
  readonly after: number
}

function changeOf(pair: { readonly now: ReportedCase; readonly before: ReportedCase }, name: string): Change | null {
  const after = numberOf(pair.now.metrics[name])
  const before = numberOf(pair.before.metrics[name])
  if (after === null || before === null || !Number.isFinite(after) || !Number.isFinite(before)) return null
  return { case: pair.now.case, before, after }
}

/** Ids of the cases that went either way, the largest change first, equal changes in the data set's order. */
function directions(
  changes: readonly Change[],
  better: MetricFacts['better'],
): { readonly better: string[]; readonly worse: string[] } {
  const gains = changes.map(change => ({ case: change.case, gain: gainOf(change, better) }))
  const ids = (sign: 1 | -1): string[] =>
    gains
      .filter(({ gain }) => gain * sign > 0)
      .toSorted((a, b) => sign * (b.gain - a.gain))
      .map(each => each.case)
  return { better: ids(1), worse: ids(-1) }
}

function gainOf({ before, after }: Change, better: MetricFacts['better']): number {
  switch (better) {
    case 'higher':
      return after - before
    case 'lower':
      return before - after
    case 'nearer-zero':
      return Math.abs(before) - Math.abs(after)
    case 'neither':
      return 0
  }
}

/** A hash that only one of them knows counts as another one. */
function differencesOf(now: Comparable, before: Comparable): Comparison['differs'] {
  const differs: Comparison['differs'] = []
  if (now.data.hash !== before.data.hash) differs.push('data')
  if (now.run.model !== before.run.model) differs.push('model')
  if (now.run.definition !== before.run.definition) differs.push('definition')
  if (now.emptyRule !== before.emptyRule) differs.push('emptyRule')
  return differs
}
