/** HTML as values: what is put into a template is text unless it is itself HTML. */

/** HTML that is safe to be put into a page as it is. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** What a template takes: lists are put one after the other, nothing (`undefined`, `false`) leaves nothing. */
export type Content = Html | string | number | undefined | false | readonly Content[]

/**
 * HTML of a template; whatever is put in is escaped unless it is `Html`. Good between tags and inside attribute values in
 * double quotes; not inside `<script>` or `<style>`. The template's own indentation is left out.
 */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  let text = unindented(strings[0]!)
  contents.forEach((content, i) => {
    text += textOf(content) + unindented(strings[i + 1]!)
  })
  return new Html(text)
}

function unindented(text: string): string {
  return text.replace(/\n\s+/g, '\n')
}

/** HTML that was made elsewhere, by a library that has escaped what it was given. */
export function trusted(text: string): Html {
  return new Html(text)
}

/** A value as JSON for a `<script type="application/json">`: nothing in it can end the element. */
export function scriptJson(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll('<', '\\u003c'))
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text for HTML; characters that no parser takes or that disguise text become the replacement character. */
export function escape(text: string): string {
  return text.replace(unwanted, '\ufffd').replace(/[&<>"']/g, mark => entities[mark]!)
}

/** Control characters but tab and line ends, halves of surrogate pairs, and what turns the direction of writing. */
const unwanted = /(?![\t\n\r])\p{Cc}|\p{Cs}|[\u202a-\u202e\u2066-\u2069]/gu

function textOf(content: Content): string {
  if (content === undefined || content === false) return ''
  if (content instanceof Html) return content.text
  if (Array.isArray(content)) return content.map(textOf).join('')
  return escape(String(content))
}
