/** Pictures of the worst and the median cases. */

import type { Report } from '../../schemas/report.ts'
import { html, trusted, type Html } from './html.ts'
import type { Picture, ViewerCase } from './page.ts'
import { pictureId, rowId } from './tables.ts'

/** What the outlines mean; as drawn by report/slice-picture.ts. */
export const outlineLegend = html`<p class="legend">
  <span><i class="key"></i>reference, solid</span> <span><i class="key prediction"></i>mask, dashed</span> In axial and
  coronal planes the patient's right is on the left.
</p> `

/** Pictures by case, in the order in which they come. */
export function byCase(pictures: readonly Picture[]): Map<string, Picture[]> {
  const found = new Map<string, Picture[]>()
  for (const picture of pictures) found.set(picture.case, [...(found.get(picture.case) ?? []), picture])
  return found
}

/** A case's pictures as one figure; those that are in the report link to their row and to the viewer. */
function pictured(
  id: string,
  pictures: readonly Picture[],
  place: number | undefined,
  viewer: readonly ViewerCase[],
): Html {
  const inViewer = viewer.findIndex(({ case: other }) => other === id)
  const name = place === undefined ? html`${id}` : html`<a href="#${rowId(place)}">${id}</a>`
  const captions = [...new Set(pictures.map(({ caption }) => caption))]
  return html`<figure${place !== undefined && html` id="${pictureId(place)}"`}>
<div class="planes">${pictures.map(imageOf)}</div>
<figcaption>${name}. ${captions.join(' ')}${inViewer >= 0 && html` ${viewerButton(id, inViewer, 'Open in the viewer')}`}</figcaption>
</figure>
`
}

export function imageOf({ png, width, height, alt }: Picture): Html {
  const data = Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64')
  return html`<img
    src="data:image/png;base64,${trusted(data)}"
    width="${width}"
    height="${height}"
    alt="${alt}"
    decoding="async"
  />`
}

export function gallery(report: Report, pictures: readonly Picture[], viewer: readonly ViewerCase[]): Html {
  const places = new Map(report.cases.map(({ case: id }, place) => [id, place]))
  const group = (why: Picture['why'], title: string): Html | undefined => {
    const cases = byCase(pictures.filter(picture => picture.why === why))
    if (cases.size === 0) return undefined
    return html`<h3>${title}</h3>
      <div class="gallery">${[...cases].map(([id, found]) => pictured(id, found, places.get(id), viewer))}</div> `
  }
  return html`${outlineLegend}${group('worst', 'Worst cases')}${group('median', 'Cases around the median')}`
}

/** A button that opens a case; hidden where no script shows it. */
export function viewerButton(id: string, index: number, text: string): Html {
  return html`<button
    type="button"
    class="open screen"
    data-files="viewer-${index + 1}"
    aria-label="Open ${id} in the viewer"
    hidden
  >
    ${text}
  </button>`
}
