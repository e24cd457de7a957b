/** Reports as pages: one file each, that needs nothing else. */

import type { Report } from '../../schemas/report.ts'
import { figures } from './chart.ts'
import { comparisonSection, groupsOf, historyTable } from './comparison.ts'
import { groupsChart, historyChart } from './curve-charts.ts'
import { distributionChart } from './distribution-chart.ts'
import { documentOf, type Section } from './document.ts'
import { dateText } from './format.ts'
import { gallery } from './gallery.ts'
import { completeness, evaluatedText, gatesList, headline, shortfall } from './headline.ts'
import { html, type Html } from './html.ts'
import { boundsOf, classSuffixes, headlineMetrics, labelOf, shownMetrics } from './metrics.ts'
import { provenance } from './provenance.ts'
import { blandAltmanChart, diceBySizeChart } from './scatter-charts.ts'
import { sortScript, viewerScript } from './script.ts'
import { allCasesTable, conventionTable, stratumName, stratumTable, summaryTable } from './tables.ts'
import { viewerLibrary, viewerOverlay, viewerSection } from './viewer.ts'

/** A plane of a case with the outlines of mask and reference. */
export interface Picture {
  readonly case: string
  readonly why: 'worst' | 'median'
  readonly png: Uint8Array
  readonly width: number
  readonly height: number
  /** What can be seen, for those who cannot. */
  readonly alt: string
  readonly caption: string
}

/** A case for the interactive viewer: NIfTI files (.nii.gz), cropped to what is worth a look. */
export interface ViewerCase {
  readonly case: string
  readonly scan: Uint8Array
  readonly prediction: Uint8Array
  readonly reference: Uint8Array
}

/** A training as its page shows it. */
export interface Training {
  readonly title: string
  readonly created: string
  /** For people: data set, network, engine, versions. */
  readonly facts: readonly (readonly [name: string, value: string])[]
  readonly epochs: readonly {
    readonly epoch: number
    readonly loss: number
    readonly learningRate: number
    readonly patchesPerSecond: number
    /** Mean Dice of the validation, in epochs that had one. */
    readonly dice?: number
  }[]
  readonly best?: { readonly epoch: number; readonly dice: number }
  readonly pictures: readonly Picture[]
}

/** Metrics whose spread is drawn. */
const drawn = [/^dice(_class\d+)?$/, /^hd\d/, /^nsd_/, /^differenceMl/]

/** Metrics whose history is drawn. */
const remembered = [/^dice(_class\d+)?$/, /^hd\d/, /^nsd_/, /^lesionF1(_class\d+)?$/]

/**
 * The page of an evaluation, the same bytes for the same report and pictures. The viewer's script, 2.3 MB, is in it only where
 * there are cases for it.
 */
export async function evaluationPage(
  report: Report,
  { pictures, viewer }: { readonly pictures: readonly Picture[]; readonly viewer: readonly ViewerCase[] },
): Promise<string> {
  const names = shownMetrics(report)
  const of = (patterns: readonly RegExp[]): string[] =>
    patterns.flatMap(pattern => names.filter(name => pattern.test(name)).slice(0, 4))
  const spreads = await figures(of(drawn).map(metric => distributionChart(report, metric)))
  const agreement = await figures(
    classSuffixes(report, 'referenceMl').flatMap(suffix => [
      blandAltmanChart(report, suffix),
      diceBySizeChart(report, suffix),
    ]),
  )
  const history = await figures(of(remembered).map(metric => historyChart(report, metric)))
  const convention = conventionTable(report)
  const sections: (Section | false | undefined)[] = [
    {
      id: 'figures',
      title: 'Headline figures',
      content: html`${shortfall(report)}${gatesList(report)}${headline(report)}${completeness(report)}`,
    },
    spreads && {
      id: 'distributions',
      title: 'Distributions',
      content: html`<p class="note">
          Each dot or bar is cases; below them the median and quartiles in a box, whiskers to the extremes, the mean as
          a diamond with its 95 % interval.
        </p>
        ${spreads}`,
    },
    agreement && { id: 'agreement', title: 'Volumes and lesion size', content: agreement },
    pictures.length > 0 && { id: 'gallery', title: 'Gallery', content: gallery(report, pictures, viewer) },
    viewer.length > 0 && { id: 'viewer', title: 'Viewer', content: viewerSection(viewer), look: 'viewer' },
    report.cases.length > 0 && {
      id: 'cases',
      title: 'All cases',
      content: allCasesTable(report, new Set(pictures.map(picture => picture.case))),
      look: 'all-cases',
    },
    Object.keys(report.summary).length > 0 && {
      id: 'summary',
      title: 'All figures',
      content: html`${summaryTable(report)}${
        convention &&
        html`<h3>MONAI's convention beside ours</h3>
          <p class="note">
            The rules differ in how cases with empty masks count; figures published with MONAI are comparable with its
            own.
          </p>
          ${convention}`
      }`,
    },
    report.strata.length > 0 && { id: 'strata', title: 'Groups of cases', content: await strata(report) },
    report.comparison !== null && {
      id: 'comparison',
      title: 'Comparison with an earlier run',
      content: comparisonSection(report, report.comparison),
    },
    report.history.length > 1 && { id: 'history', title: 'History', content: html`${history}${historyTable(report)}` },
    { id: 'provenance', title: 'Provenance and definitions', content: provenance(report) },
  ]
  return documentOf({
    title: report.title,
    lead: html`<p class="sub">
      Evaluation of ${dateText(report.created)}, ${evaluatedText(report)} of ${report.data.name}
    </p>`,
    sections: sections.filter(section => section !== undefined && section !== false),
    scripts: [sortScript, ...(viewer.length > 0 ? [await viewerLibrary(), viewerScript] : [])],
    overlays: viewer.length > 0 && viewerOverlay(viewer),
  })
}

async function strata(report: Report): Promise<Html> {
  const [metric] = headlineMetrics(report)
  const charts = report.strata.map(stratum => {
    const { groups, digits } = metric === undefined ? { groups: [], digits: 0 } : groupsOf(report, stratum, metric)
    const title = `By ${stratumName(report, stratum.by)}`
    return metric === undefined
      ? undefined
      : groupsChart(title, `${labelOf(report, metric)}, mean`, groups, digits, boundsOf(report, metric))
  })
  return html`${await figures(charts)}${report.strata.map(stratum => stratumTable(report, stratum))}`
}

export { trainingPage } from './training-page.ts'
