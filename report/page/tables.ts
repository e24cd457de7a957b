/** Figures over the cases, and the cases themselves. */

import type { Figure, Report, ReportedCase, Spread } from '../../schemas/report.ts'
import { metricFacts } from '../metric-names.ts'
import { scrollBox } from './document.ts'
import { counted, figureText, intervalText, summaryText, undefinedMark } from './format.ts'
import { changeOf } from './headline.ts'
import { html, type Content, type Html } from './html.ts'
import { headlineMetrics, labelOf, shownMetrics } from './metrics.ts'

/** A heading cell over figures. */
function head(text: Content): Html {
  return html`<th scope="col">${text}</th>`
}

/** The same above cases, where a long one has more room. */
function caseHead(label: string): Html {
  return html`<th scope="col" ${label.length > 16 && html`class="long"`}>${label}</th>`
}

/** Figures with what they are of in the first column, which `first` names. */
function figuresTable(name: string, first: string, heads: readonly Html[], rows: readonly Html[]): Html {
  return scrollBox(
    name,
    html`<table>
      <thead>
        <tr>
          <th scope="col" class="name">${first}</th>
          ${heads}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>`,
  )
}

/** Mean, interval, median and so on of every metric. */
export function summaryTable(report: Report): Html {
  const metrics = shownMetrics(report).filter(metric => report.summary[metric])
  const isCompared = report.comparison !== null
  const row = (metric: string): Html => {
    const spread = report.summary[metric]!
    const text = (figure: Figure): string => summaryText(report, metric, figure)
    // Of counts: those of single cases have no decimals.
    const whole = (figure: Figure): string =>
      Number.isInteger(figure) ? figureText(report, metric, figure) : text(figure)
    return html`<tr>
      <th scope="row">${labelOf(report, metric)}</th>
      <td>${text(spread.mean)}</td>
      <td class="interval">${intervalText(report, metric, spread) || undefinedMark}</td>
      <td>${whole(spread.median)}</td>
      <td>${text(spread.sd)}</td>
      <td>${whole(spread.min)}</td>
      <td>${whole(spread.max)}</td>
      <td>${spread.cases}</td>
      <td>${spread.infinite || undefinedMark}</td>
      <td>${spread.undefined || undefinedMark}</td>
      ${isCompared && html`<td>${changeOf(report, metric) ?? undefinedMark}</td>`}
    </tr> `
  }
  const names = ['mean', '95 % interval', 'median', 'SD', 'least', 'most', 'cases', 'infinite', 'not defined']
  return figuresTable(
    'All figures',
    'metric',
    [...names, ...(isCompared ? ['change (p)'] : [])].map(head),
    metrics.map(row),
  )
}

/** Means by the strict rule and by MONAI's, whichever was chosen, where they may differ. */
export function conventionTable(report: Report): Html | undefined {
  const metrics = shownMetrics(report).filter(metric => report.strict[metric] && report.monai[metric])
  if (metrics.length === 0) return undefined
  const cells = (metric: string, spread: Spread): Html =>
    html`<td>${summaryText(report, metric, spread.mean)}</td>
      <td class="interval">${intervalText(report, metric, spread) || undefinedMark}</td>
      <td>${spread.cases}</td>`
  return figuresTable(
    'Both conventions',
    'metric',
    ['strict: mean', '95 % interval', 'cases', 'MONAI: mean', '95 % interval', 'cases'].map(head),
    metrics.map(
      metric =>
        html`<tr>
          <th scope="row">${labelOf(report, metric)}</th>
          ${cells(metric, report.strict[metric]!)}${cells(metric, report.monai[metric]!)}
        </tr> `,
    ),
  )
}

/** Means of groups of cases. */
export function stratumTable(report: Report, stratum: Report['strata'][number]): Html {
  const metrics = headlineMetrics(report).filter(metric => stratum.groups.some(({ summary }) => summary[metric]))
  const name = stratumName(report, stratum.by)
  return figuresTable(
    `By ${name}`,
    name,
    ['cases', ...metrics.map(metric => labelOf(report, metric))].map(head),
    stratum.groups.map(
      group =>
        html`<tr>
          <th scope="row">${group.name}</th>
          <td>${group.cases}</td>
          ${metrics.map(metric => html`<td>${summaryText(report, metric, group.summary[metric]?.mean)}</td>`)}
        </tr> `,
    ),
  )
}

/** What cases are grouped by, for people. */
export function stratumName(report: Report, by: string): string {
  if (by in report.metrics) return labelOf(report, by)
  // Where there are several classes, no metric of theirs is the size by which cases are grouped.
  return by === 'referenceMl' ? labelOf({ ...report, metrics: metricFacts([by]) }, by) : by
}

/** Identifiers of a case's row and of its picture, by its place in the report. */
export const rowId = (place: number): string => `case-${place + 1}`
export const pictureId = (place: number): string => `picture-${place + 1}`

/** All cases with all figures, worst first; a case with a picture links to it. */
export function allCasesTable(report: Report, pictured: ReadonlySet<string>): Html {
  const places = new Map(report.cases.map(({ case: id }, place) => [id, place]))
  const metrics = shownMetrics(report)
  const fields = [...new Set(report.cases.flatMap(({ fields }) => Object.keys(fields)))]
  const ordered = inOrder(report)
  const row = (each: ReportedCase, rank: number): Html => {
    const place = places.get(each.case)!
    const name = pictured.has(each.case) ? html`<a href="#${pictureId(place)}">${each.case}</a>` : each.case
    return html`<tr id="${rowId(place)}">
      <td>${rank + 1}</td>
      <th scope="row" title="${each.case}">
        <div class="id"><span>${name}</span>${each.isMissing && html`<span class="tag">missing</span>`}</div>
      </th>
      ${metrics.map(metric => cell(figureText(report, metric, each.metrics[metric])))}${fields.map(field => html`<td class="name">${each.fields[field] ?? ''}</td>`)}
    </tr> `
  }
  return html`<p class="note">
      ${counted(ordered.length, 'case')}, worst first. ${undefinedMark} is not defined, ∞ infinite.
      <span class="screen">Headings sort.</span> <span id="sorted" class="note screen" role="status"></span>
    </p>
    ${scrollBox(
      'All cases',
      html`<table class="cases">
        <thead>
          <tr>
            <th scope="col" aria-sort="ascending">#</th>
            <th scope="col" class="name" data-text>case</th>
            ${metrics.map(metric => caseHead(labelOf(report, metric)))}${fields.map(field => html`<th scope="col" class="name" data-text>${field}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${ordered.map(row)}
        </tbody>
      </table>`,
      'tall',
    )}`
}

function cell(text: string): Html {
  return html`<td>${text}</td>`
}

/** Worst first, as the report has it; a case that it does not rank comes behind. */
function inOrder(report: Report): ReportedCase[] {
  const byId = new Map(report.cases.map(each => [each.case, each]))
  const ranked = report.worst.flatMap(id => byId.get(id) ?? [])
  const isRanked = new Set(report.worst)
  return [...ranked, ...report.cases.filter(({ case: id }) => !isRanked.has(id))]
}

/** A case's figure by its metric, for a list of cases. */
export function caseFigure(report: Report, id: string, metric: string): string {
  const found = report.cases.find(({ case: other }) => other === id)
  return figureText(report, metric, found?.metrics[metric])
}
