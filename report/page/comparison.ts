/** What changed since an earlier report, and how runs went before. */

import type { Figure, Report } from '../../schemas/report.ts'
import { numberOf } from '../figure.ts'
import { lastRuns, mostRuns } from './curve-charts.ts'
import { scrollBox } from './document.ts'
import {
  changeText,
  counted,
  dateText,
  digitsOf,
  intervalText,
  probabilityText,
  summaryText,
  undefinedMark,
} from './format.ts'
import { html, type Content, type Html } from './html.ts'
import { headlineMetrics, labelOf } from './metrics.ts'
import { caseFigure, rowId } from './tables.ts'

/** Cases that are named on either side, at most. */
const mostNamed = 10

type Comparison = NonNullable<Report['comparison']>

const differences = {
  data: 'the data set',
  model: 'the model',
  definition: 'the definition',
  emptyRule: 'the rule for empty masks',
} as const

export function comparisonSection(report: Report, comparison: Comparison): Html {
  const metrics = headlineMetrics(report).filter(metric => comparison.metrics[metric])
  const others = Object.keys(comparison.metrics).filter(metric => !metrics.includes(metric))
  const row = (metric: string): Html => {
    const paired = comparison.metrics[metric]!
    return html`<tr>
      <th scope="row">${labelOf(report, metric)}</th>
      <td>${changeText(report, metric, paired.difference)}</td>
      <td class="interval">${intervalText(report, metric, paired) || undefinedMark}</td>
      <td>${probabilityText(paired.p)}</td>
      <td>${paired.cases}</td>
      <td>${paired.better.length}</td>
      <td>${paired.worse.length}</td>
      <td>${paired.equal}</td>
    </tr> `
  }
  const [first] = metrics
  const differs = comparison.differs.map(each => differences[each])
  return html`<p>
      With <code>${comparison.with}</code> of ${dateText(comparison.created)}. Significance: ${comparison.test}.
    </p>
    ${differs.length > 0 && html`<p class="warning">Not the same in both runs: ${differs.join(', ')}.</p>`}
    ${scrollBox(
      'Changes',
      html`<table>
        <thead>
          <tr>
            <th scope="col" class="name">metric</th>
            <th scope="col">mean change</th>
            <th scope="col">95 % interval</th>
            <th scope="col">significance</th>
            <th scope="col">pairs</th>
            <th scope="col">better</th>
            <th scope="col">worse</th>
            <th scope="col">equal</th>
          </tr>
        </thead>
        <tbody>
          ${[...metrics, ...others].map(row)}
        </tbody>
      </table>`,
    )}
    ${first !== undefined && html`${named(report, first, 'worse', comparison)}${named(report, first, 'better', comparison)}`}
    ${onlyIn('Only in this run', comparison.onlyNow)}${onlyIn('Only in the earlier run', comparison.onlyBefore)}`
}

/** The cases that changed most, with what they have now. */
function named(report: Report, metric: string, which: 'better' | 'worse', comparison: Comparison): Content {
  const cases = comparison.metrics[metric]![which]
  if (cases.length === 0) return undefined
  const places = new Map(report.cases.map(({ case: id }, place) => [id, place]))
  const items = cases.slice(0, mostNamed).map((id, i) => {
    const place = places.get(id)
    const name = place === undefined ? html`${id}` : html`<a href="#${rowId(place)}">${id}</a>`
    return html`${i > 0 && ', '}${name} (now ${caseFigure(report, id, metric)})`
  })
  const more = cases.length > mostNamed && `, and ${cases.length - mostNamed} more`
  return html`<p>
    <strong class="${which}">${which === 'better' ? 'Better' : 'Worse'}</strong> in ${labelOf(report, metric)}, those
    that changed most first: ${items}${more}.
  </p> `
}

function onlyIn(text: string, cases: readonly string[]): Content {
  if (cases.length === 0) return undefined
  return html`<p class="note">
    ${text}: ${counted(cases.length, 'case')}${cases.length <= mostNamed ? html` (${cases.join(', ')})` : undefined}.
  </p> `
}

/** The curve's figures as a table, newest first. */
export function historyTable(report: Report): Html {
  const runs = lastRuns(report.history)
  const metrics = headlineMetrics(report)
    .filter(metric => runs.some(({ figures }) => figures[metric]))
    .slice(0, 5)
  const left = report.history.length - runs.length
  return html`<details${runs.length <= 8 && html` open`}><summary>The runs as a table</summary>
${left > 0 && html`<p class="note">The last ${mostRuns} of ${counted(report.history.length, 'run')}.</p>`}${scrollBox(
    'Past runs',
    html`<table>
      <thead>
        <tr>
          <th scope="col" class="name">run</th>
          <th scope="col" class="name">time</th>
          <th scope="col">cases</th>
          <th scope="col">failed</th>
          <th scope="col">no mask</th>
          ${metrics.map(metric => html`<th scope="col">${labelOf(report, metric)}, mean</th>`)}
          <th scope="col" class="name">gates missed</th>
          <th scope="col" class="name">data</th>
          <th scope="col" class="name">model</th>
        </tr>
      </thead>
      <tbody>
        ${runs.map(
          run =>
            html`<tr>
              <th scope="row">${run.id}${run.id === report.id && ' (this one)'}</th>
              <td class="name">${dateText(run.created)}</td>
              <td>${run.cases.evaluated}</td>
              <td>${run.cases.failed || undefinedMark}</td>
              <td>${run.cases.missing || undefinedMark}</td>
              ${metrics.map(metric => html`<td>${summaryText(report, metric, run.figures[metric]?.mean)}</td>`)}
              <td class="name">${run.gates.join(', ') || undefinedMark}</td>
              <td class="name"><code>${run.data?.slice(0, 8) ?? undefinedMark}</code></td>
              <td class="name"><code>${run.model?.slice(0, 8) ?? undefinedMark}</code></td>
            </tr> `,
        )}
      </tbody>
    </table>`,
  )}</details>
`
}

/** For a chart of groups: those with a finite mean. */
export function groupsOf(
  report: Report,
  stratum: Report['strata'][number],
  metric: string,
): { groups: { name: string; mean: number; low: number; high: number }[]; digits: number } {
  const groups = stratum.groups.flatMap(({ name, summary }) => {
    const spread = summary[metric]
    const mean = numberOf(spread?.mean)
    if (mean === null || !Number.isFinite(mean)) return []
    const end = (figure: Figure): number => {
      const value = numberOf(figure)
      return value === null || !Number.isFinite(value) ? mean : value
    }
    return [{ name, mean, low: end(spread!.low), high: end(spread!.high) }]
  })
  return { groups, digits: Math.max(1, digitsOf(report, metric)) }
}
