/** The page of a training: its curves, its best epoch, what the network made of some slices. */

import { figures } from './chart.ts'
import { epochChart } from './curve-charts.ts'
import { documentOf, scrollBox, type Section } from './document.ts'
import { counted, dateText, fixed, significant, undefinedMark } from './format.ts'
import { byCase, imageOf, outlineLegend } from './gallery.ts'
import { html, type Html } from './html.ts'
import type { Picture, Training } from './page.ts'
import { factsTable } from './provenance.ts'
import { sortScript } from './script.ts'

/** The same bytes for the same training; one file that needs nothing else. */
export async function trainingPage(training: Training): Promise<string> {
  const { title, created, facts, epochs, best, pictures } = training
  const mark = best && { epoch: best.epoch, text: `best ${fixed(best.dice, 3)}, epoch ${best.epoch}` }
  const last = epochs.at(-1)
  const curves = await figures([
    epochChart({
      title: 'Loss',
      axis: 'training loss',
      points: epochs.map(({ epoch, loss }) => ({ epoch, value: loss })),
      bounds: [-Infinity, Infinity],
    }),
    epochChart({
      title: 'Validation Dice',
      axis: 'mean Dice',
      points: epochs.flatMap(({ epoch, dice }) => (dice === undefined ? [] : [{ epoch, value: dice }])),
      bounds: [0, 1],
      ...(mark ? { mark } : {}),
    }),
    epochChart({
      title: 'Learning rate',
      axis: 'learning rate',
      points: epochs.map(({ epoch, learningRate }) => ({ epoch, value: learningRate })),
      bounds: [0, Infinity],
      isExponential: true,
    }),
    epochChart({
      title: 'Speed',
      axis: 'patches per second',
      points: epochs.map(({ epoch, patchesPerSecond }) => ({ epoch, value: patchesPerSecond })),
      bounds: [0, Infinity],
    }),
  ])
  const sections: (Section | false | undefined)[] = [
    {
      id: 'figures',
      title: 'Headline figures',
      content: last
        ? html`<dl class="headline">
            ${[
              cell(
                'best validation Dice',
                best ? fixed(best.dice, 3) : undefinedMark,
                best ? `epoch ${best.epoch}` : 'no validation',
              ),
              cell('loss', significant(last.loss, 4), `epoch ${last.epoch}`),
              cell('epochs', String(epochs.length), ''),
              cell('patches per second', significant(last.patchesPerSecond, 3), `epoch ${last.epoch}`),
            ]}
          </dl> `
        : html`<p>No epoch has been finished.</p>`,
    },
    curves && { id: 'curves', title: 'Curves', content: curves },
    pictures.length > 0 && { id: 'gallery', title: 'Example slices', content: examples(pictures) },
    epochs.length > 0 && { id: 'epochs', title: 'Epochs', content: epochsTable(training) },
    { id: 'provenance', title: 'Provenance', content: factsTable(facts) },
  ]
  return documentOf({
    title,
    lead: html`<p class="sub">Training of ${dateText(created)}, ${counted(epochs.length, 'epoch')}</p>`,
    sections: sections.filter(section => section !== undefined && section !== false),
    scripts: [sortScript],
  })
}

function cell(name: string, value: string, below: string): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd class="figure">${value}</dd>
    <dd>${below}</dd>
  </div> `
}

function examples(pictures: readonly Picture[]): Html {
  return html`${outlineLegend}
    <div class="gallery">
      ${[...byCase(pictures)].map(
        ([id, found]) =>
          html`<figure>
            <div class="planes">${found.map(imageOf)}</div>
            <figcaption>${id}. ${[...new Set(found.map(({ caption }) => caption))].join(' ')}</figcaption>
          </figure> `,
      )}
    </div> `
}

function epochsTable({ epochs, best }: Training): Html {
  return html`<p id="sorted" class="note screen" role="status"></p>
    ${scrollBox(
      'Epochs',
      html`<table class="cases">
        <thead>
          <tr>
            <th scope="col" aria-sort="ascending">epoch</th>
            <th scope="col">loss</th>
            <th scope="col">Dice</th>
            <th scope="col">learning rate</th>
            <th scope="col">patches per second</th>
          </tr>
        </thead>
        <tbody>
          ${epochs.map(
            ({ epoch, loss, dice, learningRate, patchesPerSecond }) =>
              html`<tr>
                <td>${epoch}</td>
                <td>${fixed(loss, 4)}</td>
                <td>${dice === undefined ? undefinedMark : html`${fixed(dice, 4)}`}</td>
                <td>${learningRate.toExponential(2).replace('-', '−')}</td>
                <td>${fixed(patchesPerSecond, 2)}</td>
              </tr> `,
          )}
        </tbody>
      </table>`,
      'tall',
    )}${best && html`<p class="note">Best: epoch ${best.epoch}, Dice ${fixed(best.dice, 4)}.</p>`}`
}
