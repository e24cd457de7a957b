/** The pages' look: like a page of figures in a journal. Light and dark, on small screens, and on paper. */

export const style = `
:root {
  color-scheme: light dark;
  --ground: #fff; --panel: #f6f6f3; --ink: #1b1c1e; --faint: #5c6066; --rule: #c9cac6; --grid: #e7e7e3;
  --mark: #27567f; --accent: #b3401a; --good: #1f6b3a; --bad: #a6261d; --focus: #0b57d0; --target: #fff3c9;
  --serif: Charter, 'Bitstream Charter', 'Sitka Text', Cambria, Georgia, 'DejaVu Serif', serif;
  --sans: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', 'DejaVu Sans', sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #131517; --panel: #1b1e21; --ink: #e8e8e4; --faint: #a3a8ad; --rule: #43484d; --grid: #2a2e32;
    --mark: #8ab8e0; --accent: #f0916b; --good: #7fc796; --bad: #f2897e; --focus: #8ab4f8; --target: #3a3214;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.5 var(--sans); overflow-wrap: break-word; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 clamp(1rem, 4vw, 2.5rem); }
header { padding-top: 2rem; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.8vw, 2.3rem); margin: 0 0 .35rem; }
h2 { font-size: 1.35rem; margin: 0 0 .9rem; }
h3 { font-size: 1.02rem; margin: 0 0 .4rem; }
section { border-top: 1px solid var(--ink); padding: 1rem 0 1.9rem; margin-top: .6rem; }
section > h3 { margin-top: 1.4rem; }
p { margin: 0 0 .8rem; max-width: 46rem; }
a { color: var(--mark); text-underline-offset: .15em; text-decoration-thickness: 1px; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
:target { background: var(--target); }
code { font-family: ui-monospace, 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: .86em; overflow-wrap: anywhere; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--ground); padding: .4rem .8rem; z-index: 9; }
.sub { color: var(--faint); margin: 0 0 .3rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .9rem 0 1.2rem; padding: 0; font-size: .92rem; }
nav a { display: inline-block; padding: .2rem 0; }
.note { color: var(--faint); font-size: .9rem; }
.warning { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .8rem; }

.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 12.5rem), 1fr)); gap: 1.3rem 1.6rem; margin: 0 0 1.2rem; }
.headline > div { border-left: 1px solid var(--rule); padding-left: .9rem; min-width: 0; }
.headline dt { font-size: .92rem; color: var(--faint); }
.headline dd { margin: 0; font-size: .92rem; font-variant-numeric: tabular-nums; }
.headline dd.figure { font: 600 1.7rem/1.2 var(--serif); font-variant-numeric: lining-nums tabular-nums; }
.headline > div:first-child { grid-row: span 2; border-left: 3px solid var(--mark); }
.headline > div:first-child dt { font-size: 1.02rem; color: var(--ink); }
.headline > div:first-child dd { font-size: 1rem; }
.headline > div:first-child dd.figure { font-size: clamp(2.8rem, 2rem + 2.4vw, 3.6rem); line-height: 1.05; }
.headline dd.figure { white-space: nowrap; }
.shortfall { border: 1px solid var(--bad); border-left-width: 4px; padding: .6rem .9rem; margin-bottom: 1rem; color: var(--bad); font-weight: 600; }
.shortfall p { margin: 0; max-width: none; }
.better { color: var(--good); }
.worse { color: var(--bad); }
ul.gates { list-style: none; padding: 0; margin: 0 0 1rem; }
ul.gates li { padding: .3rem 0; border-bottom: 1px solid var(--grid); }
.verdict { display: inline-block; min-width: 5.2rem; font-weight: 600; }

.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.8rem 2.2rem; }
.charts.two { grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; min-width: 0; }
.chart { max-width: 30rem; }
.chart.two { max-width: 40rem; container-type: inline-size; }
.plot.wide { display: none; }
@container (min-width: 27rem) { .plot.wide { display: block; } .plot.narrow { display: none; } }
.plot svg { display: block; width: 100%; height: auto; font-family: var(--sans); font-variant-numeric: tabular-nums; overflow: visible; }
figcaption { font-size: .86rem; line-height: 1.4; color: var(--faint); margin-top: .35rem; }

.scroll { overflow: auto; max-width: 100%; position: relative; margin-bottom: 1.1rem; }
.tall { max-height: 44rem; border-bottom: 1px solid var(--rule); }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: lining-nums tabular-nums; border-block: 1.5px solid var(--ink); }
th, td { padding: .28rem .55rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; white-space: normal; max-width: 9rem; }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
th:first-child, td:first-child { padding-left: .2rem; }
.name, .words { text-align: left; }
.words { white-space: normal; min-width: 14rem; max-width: 40rem; }
tbody th { font-weight: 400; text-align: left; }
.interval { color: var(--faint); }
.facts th { vertical-align: top; color: var(--faint); }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }

.cases { border-top: 0; }
.cases thead th { position: sticky; top: 0; background: var(--ground); z-index: 1; border-top: 1.5px solid var(--ink); white-space: normal; min-width: 4.6rem; }
/* Long headings have few lines, so that short ones do not stand below a gap. */
.cases thead th.long { min-width: 8.5rem; }
.cases thead th:first-child { min-width: 2.6rem; }
.cases tbody th, .cases thead th.name { position: sticky; left: 0; background: var(--ground); }
.cases thead th.name { z-index: 2; }
.cases tbody th { max-width: 19rem; overflow: hidden; text-overflow: ellipsis; border-right: 1px solid var(--grid); }
.cases .id { display: flex; align-items: baseline; }
.cases .id > :first-child { overflow: hidden; text-overflow: ellipsis; }
.cases tr:target > * { background: var(--target); }
.cases button { all: unset; display: block; width: 100%; cursor: pointer; text-align: inherit; font: inherit; }
.cases button:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.cases button::after { content: ' ↕'; content: ' ↕' / ''; color: var(--faint); font-weight: 400; }
.cases [aria-sort='ascending'] button::after { content: ' ↑'; content: ' ↑' / ''; color: var(--accent); }
.cases [aria-sort='descending'] button::after { content: ' ↓'; content: ' ↓' / ''; color: var(--accent); }
.tag { font-size: .8em; color: var(--bad); border: 1px solid currentColor; border-radius: 2px; padding: 0 .3em; margin-left: .4em; }

.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.6rem 1.4rem; margin-bottom: 1.6rem; }
.gallery figure { scroll-margin-top: 1rem; }
.gallery .planes { display: grid; gap: 4px; }
.gallery img { display: block; width: 100%; height: auto; background: #000; }
.key { display: inline-block; width: 2.2em; height: .75em; background: #111; margin: 0 .35em 0 0; padding: .3em .2em; vertical-align: baseline; }
.key::before { content: ''; display: block; border-top: 2px solid #56b4e9; }
.key.prediction::before { border-top: 2px dashed #f5a31a; }
.swatch { display: inline-block; width: 1em; height: .8em; background: #56b4e9; margin-right: .4em; }
.swatch.prediction { background: #f5a31a; }
.legend { font-size: .9rem; }
.legend span { white-space: nowrap; margin-right: 1.2rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; padding: .2rem 0; }

button.open, dialog button { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--faint); border-radius: 3px; padding: .3rem .8rem; cursor: pointer; }
button.open:hover, dialog button:hover { border-color: var(--ink); }
ul.viewer { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem; }
dialog { width: min(72rem, 96vw); height: min(52rem, 94vh); padding: .8rem 1rem 1rem; border: 1px solid var(--rule); background: var(--ground); color: var(--ink); }
dialog[open] { display: flex; flex-direction: column; gap: .6rem; }
dialog::backdrop { background: rgb(0 0 0 / .6); }
dialog .bar { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
dialog h2 { margin: 0 auto 0 0; font-size: 1.1rem; overflow-wrap: anywhere; }
dialog .stage { flex: 1; min-height: 0; position: relative; background: #000; }
dialog canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
dialog p { margin: 0; font-size: .9rem; }
footer { padding-bottom: 2.5rem; font-size: .86rem; color: var(--faint); }
footer p { max-width: none; border-top: 1px solid var(--ink); padding-top: .9rem; margin-top: .6rem; }

@media (max-width: 40rem) {
  section { padding-bottom: 1.4rem; }
  .headline { grid-template-columns: 1fr 1fr; gap: 1rem .9rem; }
  .headline > div:first-child { grid-column: 1 / -1; }
  .headline dd.figure { font-size: 1.45rem; }
  .cases tbody th { max-width: 8.5rem; }
  .cases .id { flex-direction: column; align-items: stretch; }
  .cases .tag { align-self: start; margin: 0; }
  th, td { padding-inline: .5rem; }
  .scroll table:not(.cases) tbody th { white-space: normal; min-width: 7rem; max-width: 9.5rem; }
  .definitions, .definitions tbody, .definitions tr, .definitions tbody th, .definitions td { display: block; }
  .definitions thead { display: none; }
  .scroll .definitions tbody th { max-width: none; font-weight: 600; }
  .definitions tbody tr { border-top: 1px solid var(--grid); padding: .35rem 0; }
  .definitions td.name { display: inline; margin-right: .6em; }
  .definitions tbody tr > * { border: 0; padding: 0; min-width: 0; white-space: normal; }
}
@media print {
  :root {
    color-scheme: light;
    --ground: #fff; --panel: #fff; --ink: #000; --faint: #444; --rule: #999; --grid: #ddd;
    --mark: #27567f; --accent: #b3401a; --good: #1f6b3a; --bad: #a6261d; --target: transparent;
  }
  @page { size: A4; margin: 14mm 12mm; }
  @page wide { size: A4 landscape; margin: 10mm; }
  body { font-size: 9.5pt; }
  header, main, footer { max-width: none; padding-inline: 0; }
  nav, .skip, .viewer, dialog, .screen { display: none !important; }
  a { color: inherit; text-decoration: none; }
  .scroll, .tall { overflow: visible; max-height: none; border: 0; }
  .charts, .charts.two { grid-template-columns: 1fr 1fr; gap: 5mm 8mm; }
  .gallery { grid-template-columns: repeat(3, 1fr); gap: 4mm; }
  figure, tr, ul.gates li, .headline > div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  thead { display: table-header-group; }
  table { font-size: 8pt; }
  th, td { padding: .6mm 1.6mm; }
  .words { min-width: 0; }
  .all-cases { page: wide; border-top: 0; margin: 0; }
  .cases { font-size: 5.2pt; width: 100%; table-layout: auto; }
  .cases th, .cases td { padding: .3mm .5mm; }
  .cases thead th, .cases tbody th { position: static; min-width: 0 !important; white-space: normal; }
  .cases tbody th { overflow-wrap: anywhere; }
  .cases thead th { overflow-wrap: normal; hyphens: manual; }
  .cases button::after { content: none !important; }
  img, svg, .key, .key::before { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`
