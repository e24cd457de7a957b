/** Charts: a Vega-Lite specification becomes SVG when the report is made; the page's style colours it. */

import { Error as errorsOnly, logger, parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { html, trusted, type Content, type Html } from './html.ts'

/** Colours of charts, by what they mean; the style sheet defines them for light and dark. */
export const ink = {
  text: 'var(--ink)',
  faint: 'var(--faint)',
  grid: 'var(--grid)',
  mark: 'var(--mark)',
  accent: 'var(--accent)',
  ground: 'var(--ground)',
} as const

/** Widths, in pixels, for which charts are drawn: beside others or on a small screen, and in half of a large one. */
const [narrow, wide] = [352, 540]

/** A Vega-Lite specification; it is put together of parts, and the library checks it. */
export type Spec = Readonly<Record<string, unknown>>

export interface Chart {
  readonly title: string
  /** What can be seen, for those who cannot. */
  readonly alt: string
  readonly caption?: Content
  /** For a width in pixels. */
  readonly spec: (width: number) => Spec
  /** Drawn for both widths; the page shows the one that fits. */
  readonly isWide?: boolean
}

/** A figure with its title, its picture and its caption. */
export async function figure({ title, alt, caption, spec, isWide = false }: Chart): Promise<Html> {
  return html`<figure class="chart${isWide && ' two'}">
    <h3>${title}</h3>
    ${await plot(spec(narrow), narrow, alt, isWide ? ' narrow' : '')}${isWide && (await plot(spec(wide), wide, alt, ' wide'))}
    ${caption !== undefined && html`<figcaption>${caption}</figcaption>`}
  </figure> `
}

/** Charts side by side, those that there are; undefined where there is none. */
export async function figures(charts: readonly (Chart | undefined)[]): Promise<Html | undefined> {
  const made: Html[] = []
  for (const chart of charts) if (chart) made.push(await figure(chart))
  return made.length === 0
    ? undefined
    : html`<div class="charts${charts.some(chart => chart?.isWide) && ' two'}">${made}</div> `
}

const font = { labelFont: 'inherit', titleFont: 'inherit' }

const config: TopLevelSpec['config'] = {
  font: 'inherit',
  aria: false,
  background: 'transparent',
  padding: { left: 2, right: 8, top: 6, bottom: 2 },
  view: { stroke: null },
  axis: {
    ...font,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    labelColor: ink.faint,
    titleColor: ink.text,
    domainColor: ink.faint,
    tickColor: ink.faint,
    gridColor: ink.grid,
    tickSize: 4,
    labelPadding: 4,
    titlePadding: 8,
    labelLimit: 150,
  },
  // A title along the axis may be longer than the plot is high: it stands above.
  axisY: {
    domain: false,
    ticks: false,
    titleAngle: 0,
    titleAlign: 'left',
    titleAnchor: 'end',
    titleBaseline: 'bottom',
    titleX: 0,
    titleY: -8,
  },
  axisX: { grid: false },
  legend: { ...font, labelFontSize: 12, titleFontSize: 12, labelColor: ink.text, titleColor: ink.text },
  text: { font: 'inherit', fontSize: 12, color: ink.text },
}

async function plot(spec: Spec, width: number, alt: string, look: string): Promise<Html> {
  // The library's own wishes: charts fit into the width that they are given, text included.
  const whole = { width, autosize: { type: 'fit', contains: 'padding' }, ...spec, config }
  const compiled = compile(whole as unknown as TopLevelSpec, { logger: logger(errorsOnly) }).spec
  const view = new View(parse(compiled), { renderer: 'none', logLevel: errorsOnly })
  try {
    return html`<div class="plot${look}" role="img" aria-label="${alt}">${trusted(slim(await view.toSVG()))}</div>`
  } finally {
    view.finalize()
  }
}

/** Without what says nothing: roles below a picture, namespaces, defaults, empty paths, invisible text, digits below a pixel. */
function slim(svg: string): string {
  return (
    svg
      .replace(/<text [^>]*opacity="0"[^>]*>[^<]*<\/text>/g, '')
      // Only inside tags: text is left alone.
      .replace(/<[^>]*>/g, tag =>
        tag
          .replace(/ (xmlns|xmlns:xlink|version|class|role|aria-[a-z]+)="[^"]*"/g, '')
          .replace(/ (pointer-events="none"|opacity="1"|stroke-width="1"|font-family="inherit")/g, '')
          .replace(/(\.\d)\d+/g, '$1'),
      )
      .replace(/<path( d="")?( display="none")?\/>|<path d="(M0,0h0v0h0Z)?"( display="none")?\/>/g, '')
      .replace(/^<svg /, '<svg aria-hidden="true" focusable="false" ')
  )
}
