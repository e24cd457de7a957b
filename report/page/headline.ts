/** What is read first: the figures, what became of the gates, and what is missing. */

import type { Report } from '../../schemas/report.ts'
import { numberOf } from '../figure.ts'
import { digitsBeside } from '../gates.ts'
import { changeText, counted, digitsOf, fixed, intervalText, probabilityText, summaryText } from './format.ts'
import { emptyRuleText } from './empty-rule.ts'
import { html, type Content, type Html } from './html.ts'
import { headlineMetrics, labelOf } from './metrics.ts'

/** Figures beside the first one, at most. */
const beside = 7

/** The value that a gate found, which may be no metric's, with the digits that tell it from the bound. */
function gateValue(report: Report, { figure, rule, value }: Report['gates'][number]): string {
  const [metric = ''] = figure.replace(/^(monai|strict)\./, '').split('.')
  const found = numberOf(value)
  if (metric === 'cases' || found === null) return fixed(found, 0)
  return fixed(found, digitsBeside(found, rule, Math.max(1, digitsOf(report, metric))))
}

/** How many of the listed cases were evaluated. */
export function evaluatedText({ cases, failures }: Report): string {
  const all = counted(cases.length + failures.length, 'case')
  return failures.length === 0 ? all : `${fixed(cases.length, 0)} of ${all}`
}

/** What the figures leave out, before any good news. */
export function shortfall({ cases, failures, data: { missing } }: Report): Content {
  const of = ` of ${counted(cases.length + failures.length, 'case')}`
  const lacks = [
    failures.length > 0 && `${fixed(failures.length, 0)}${of} could not be evaluated: the figures are without them.`,
    missing.length > 0 && `${fixed(missing.length, 0)}${of} ${missing.length === 1 ? 'has' : 'have'} no mask.`,
  ].filter(text => text !== false)
  return lacks.length > 0 && html`<div class="shortfall">${lacks.map(text => html`<p>${text}</p> `)}</div> `
}

export function gatesList(report: Report): Html {
  if (report.gates.length === 0) return html``
  // Missed ones first.
  const gates = report.gates.toSorted((a, b) => Number(a.passed) - Number(b.passed))
  const missed = gates.filter(({ passed }) => !passed).length
  const verdict =
    missed === 0
      ? html`<span class="better">${gates.length === 1 ? 'The only gate' : `All ${gates.length} gates`} passed</span>`
      : html`<span class="worse"
          >${gates.length === 1 ? 'The only gate' : `${missed} of ${gates.length} gates`} missed</span
        >`
  return html`<h3>${verdict}</h3>
    <ul class="gates">
      ${gates.map(gate => {
        const { figure, rule, passed, note } = gate
        return html`<li>
          <span class="verdict ${passed ? 'better' : 'worse'}">${passed ? '✓ passed' : '✗ missed'}</span>
          <code>${figure}</code> is ${gateValue(report, gate)}, wanted
          <code>${rule}</code>${note && html` <span class="note">${note}</span>`}
        </li> `
      })}
    </ul> `
}

/** Whether a difference is good; undefined where the metric has no good direction or nothing changed for sure. */
function verdictOf(report: Report, metric: string): 'better' | 'worse' | undefined {
  const paired = report.comparison?.metrics[metric]
  const [difference, p] = [numberOf(paired?.difference), numberOf(paired?.p)]
  if (difference === null || p === null || p >= 0.05 || difference === 0) return undefined
  const direction = report.metrics[metric]?.better
  if (direction !== 'higher' && direction !== 'lower') return undefined
  return difference > 0 === (direction === 'higher') ? 'better' : 'worse'
}

/** Instead of a change of nothing, of which no test is defined. */
const unchanged = 'unchanged'

/** The change of a metric against the earlier report, with how sure it is. */
export function changeOf(report: Report, metric: string): Content {
  const paired = report.comparison?.metrics[metric]
  if (!paired || paired.difference === null) return undefined
  if (paired.difference === 0 && paired.p === null) return unchanged
  const verdict = verdictOf(report, metric)
  return html`<span${verdict && html` class="${verdict}"`}>${changeText(report, metric, paired.difference)}</span> (${probabilityText(paired.p)})`
}

export function headline(report: Report): Html {
  const [first, ...others] = headlineMetrics(report).filter(metric => report.summary[metric])
  if (first === undefined) return html`<p>No case could be evaluated, so there are no figures.</p>`
  const figures = [first, ...others.slice(0, beside)].map(metric => headlineFigure(report, metric))
  const { comparison } = report
  return html`<dl class="headline">${figures}</dl>
    <p class="note">
      Intervals: bootstrap over cases.
      ${
        comparison
          ? html`Changes: mean over the cases of both runs against <code>${comparison.with}</code>; significance:
              ${comparison.test}.`
          : 'There is no earlier report to compare with.'
      }
    </p> `
}

/** One metric; its median comes first where an infinite value makes the mean say nothing. */
function headlineFigure(report: Report, metric: string): Html {
  const spread = report.summary[metric]!
  const change = changeOf(report, metric)
  const interval = intervalText(report, metric, spread)
  const isFinite = Number.isFinite(numberOf(spread.mean) ?? 0)
  const beside = [
    spread.cases < report.cases.length && `of ${counted(spread.cases, 'case')}`,
    spread.infinite > 0 && `${spread.infinite} infinite`,
  ].filter(text => text !== false)
  const [mean, median] = [summaryText(report, metric, spread.mean), summaryText(report, metric, spread.median)]
  return html`<div>
    <dt>${labelOf(report, metric)}, ${isFinite ? 'mean' : 'median'}</dt>
    <dd class="figure">${isFinite ? mean : median}</dd>
    ${interval && html`<dd>95 % ${interval}</dd>`}
    <dd>${isFinite ? `median ${median}` : `mean ${mean}`}${beside.length > 0 && `, ${beside.join(', ')}`}</dd>
    ${change && html`<dd>${change !== unchanged && 'change '}${change}</dd>`}
  </div> `
}

/** How many cases there were, and which ones have no mask or failed. */
export function completeness(report: Report): Html {
  const { missing, name } = report.data
  return html`<p>
      ${counted(report.cases.length, 'case')} of ${name}
      evaluated${missing.length > 0 && html`, ${fixed(missing.length, 0)} of them without a mask`};
      ${report.failures.length === 0 ? 'none' : fixed(report.failures.length, 0)} failed. ${emptyRuleText(report)}
    </p>
    ${
      missing.length > 0 &&
      html`<details${missing.length <= 10 && html` open`}><summary>${counted(missing.length, 'case')} without a mask, counted as empty</summary>
<p>${missing.map((id, i) => html`${i > 0 && ', '}<code>${id}</code>`)}</p></details>
`
    }${
      report.failures.length > 0 &&
      html`<details open>
        <summary>${counted(report.failures.length, 'case')} failed</summary>
        <div class="scroll" role="region" aria-label="Failed cases" tabindex="0">
          <table>
            <thead>
              <tr>
                <th scope="col" class="name">case</th>
                <th scope="col" class="name">stage</th>
                <th scope="col" class="name">reason</th>
              </tr>
            </thead>
            <tbody>
              ${report.failures.map(
                ({ case: id, stage, code, reason }) =>
                  html`<tr>
                    <th scope="row">${id}</th>
                    <td class="name">${stage}</td>
                    <td class="words">${reason} <code>${code}</code></td>
                  </tr> `,
              )}
            </tbody>
          </table>
        </div>
      </details> `
    }`
}
