/** The frame of a page: one file that asks nothing of any network, and says so to the browser. */

import { createHash } from 'node:crypto'
import { notice } from '../../pipeline/notice.ts'
import { html, trusted, type Content, type Html } from './html.ts'
import { style } from './style.ts'

export interface Section {
  /** For links to it. */
  readonly id: string
  readonly title: string
  readonly content: Content
  /** A class beside the section, for the style sheet. */
  readonly look?: string
}

export interface Page {
  readonly title: string
  /** Below the title. */
  readonly lead: Content
  /** In their order; those without content are left out by whoever makes the list. */
  readonly sections: readonly Section[]
  /** Sources of scripts, run in their order when the page is there; the text of a script must not hold `</script`. */
  readonly scripts: readonly string[]
  /** Behind the sections: what is only shown on demand. */
  readonly overlays?: Content
}

/** The page as a file's text. Only the scripts that are given here can run in it, and nothing can be fetched. */
export function documentOf({ title, lead, sections, scripts, overlays }: Page): string {
  const hashes = scripts.map(source => `'sha256-${createHash('sha256').update(source).digest('base64')}'`)
  // Styles in attributes stand in the charts and are set by the viewer; pictures lie in the page itself.
  const policy = [
    "default-src 'none'",
    `script-src ${hashes.join(' ') || "'none'"}`,
    "style-src 'unsafe-inline'",
    'img-src data: blob:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="referrer" content="no-referrer" />
        <meta name="generator" content="ctflow" />
        <title>${title}</title>
        ${trusted(`<style>${style}</style>`)}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the figures</a>
        <header>
          <h1>${title}</h1>
          ${lead}
          <nav aria-label="Sections">
            <ul>
              ${sections.map(section => html`<li><a href="#${section.id}">${section.title}</a></li> `)}
            </ul>
          </nav>
        </header>
        <main id="main">${sections.map(sectionOf)}</main>
        <footer><p>${notice}</p></footer>
        ${overlays}
        ${scripts.map(source =>
          trusted(`<script>${source}</script>
`),
        )}
      </body>
    </html> `
  return page.text
}

function sectionOf({ id, title, content, look }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title" ${look !== undefined && html` class="${look}"`}>
    <h2 id="${id}-title">${title}</h2>
    ${content}
  </section> `
}

/** A table in a box that scrolls where the table is wider than the page; the box can be reached by keyboard. */
export function scrollBox(label: string, table: Html, look = ''): Html {
  return html`<div class="scroll${look && ` ${look}`}" role="region" aria-label="${label}" tabindex="0">${table}</div> `
}
