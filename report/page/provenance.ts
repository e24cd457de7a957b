/** Where the figures come from: hashes, versions, cost, and what the metrics mean. */

import type { Report } from '../../schemas/report.ts'
import { bytesText, counted, dateText, secondsText, undefinedMark } from './format.ts'
import { html, type Content, type Html } from './html.ts'
import { definitionOf, labelOf, shownMetrics } from './metrics.ts'

const directions = {
  higher: 'higher is better',
  lower: 'lower is better',
  'nearer-zero': 'nearer to 0 is better',
  neither: '',
} as const

/** Names and values, a row each. */
export function factsTable(facts: readonly (readonly [name: string, value: Content])[]): Html {
  return html`<table class="facts">
    <tbody>
      ${facts.map(
        ([name, value]) =>
          html`<tr>
            <th scope="row">${name}</th>
            <td>${value}</td>
          </tr> `,
      )}
    </tbody>
  </table> `
}

function hash(value: string | null): Html {
  return value === null ? html`none` : html`<code>${value}</code>`
}

export function provenance(report: Report): Html {
  const { run, data } = report
  return html`${factsTable([
      ['report', html`<code>${report.id}</code>`],
      ['made', dateText(report.created)],
      ['data set', html`${data.name}, ${counted(data.cases, 'case')} listed`],
      ['SHA-256 of the data', hash(data.hash)],
      ['SHA-256 of the model', run.model === null ? 'masks were compared, no model was run' : hash(run.model)],
      ['SHA-256 of the definition', hash(run.definition)],
      ['rule for empty masks', report.emptyRule],
      ['program', `ctflow ${run.ctflow}`],
      ['engine', run.engine ?? 'none'],
      ['seed', String(run.seed)],
      ['time', secondsText(run.seconds)],
      ['most memory', bytesText(run.peakRssBytes)],
    ])}
    <h3>Metrics</h3>
    <div class="scroll" role="region" aria-label="Definitions of metrics" tabindex="0">
      <table class="definitions">
        <thead>
          <tr>
            <th scope="col" class="name">metric</th>
            <th scope="col" class="name">name in files</th>
            <th scope="col" class="name">unit</th>
            <th scope="col" class="name">what it is</th>
          </tr>
        </thead>
        <tbody>
          ${shownMetrics(report).map(metric => {
            const { label, unit, better } = report.metrics[metric]!
            return html`<tr>
              <th scope="row">${label}</th>
              <td class="name"><code>${metric}</code></td>
              <td class="name">${unit || undefinedMark}</td>
              <td class="words">
                ${definitionOf(metric) ?? labelOf(report, metric)}${directions[better] && html` <span class="note">(${directions[better]})</span>`}
              </td>
            </tr> `
          })}
        </tbody>
      </table>
    </div> `
}
