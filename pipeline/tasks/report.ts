/** The report of an evaluation: what it is compared with, its files, its place, its line in the history. */

import { dirname, join } from 'node:path'
import type { Figure, HistoryRecord, Report } from '../../schemas/report.ts'
import {
  casesTable,
  digitsBeside,
  evaluationPage,
  makeReport,
  monitoringText,
  pauseOf,
  readReport,
  recordOf,
  type ReportInput,
} from '../../stages/index.ts'
import { codeOf, messageOf } from '../errors.ts'
import { appendToHistory, checkHistory, historyName, lostRecords, readHistory } from '../history.ts'
import { toJson } from '../json.ts'
import { isPath } from '../report-options.ts'
import {
  checkPlaces,
  newReportId,
  previousReport,
  publishReport,
  removeOldReports,
  reportFile,
  reportFolder,
} from '../reports.ts'
import type { Score } from '../flow.ts'
import { peakRss } from '../summary.ts'
import { version } from '../version.ts'
import { picturesFor, scansFor } from './gallery.ts'
import type { Job, TaskResult } from './task.ts'

/** How many earlier evaluations a report shows. */
const mostHistory = 400

type Made = Pick<TaskResult, 'lines' | 'gates' | 'report' | 'publish'>

export interface OpenedReport {
  make(scores: readonly Score[], data: { readonly cases: number; readonly hash: string }): Promise<Made>
}

/**
 * Finds what the report is compared with, before anything is evaluated. Throws ERR_OUTPUT where it could not be put in place,
 * or no line be appended to the history.
 */
export function openReport(job: Job): OpenedReport {
  const { definition, folder, progress } = job
  const { compareWith, history: named, keep } = definition.report
  const path = named ?? join(folder.output, historyName)
  const remarks: string[] = []
  const remark = (text: string): void => {
    remarks.push(text)
    progress.note(text)
  }
  checkPlaces(folder)
  checkHistory(path)
  const earlier = earlierOf(compareWith, folder.output, remark)
  const history = readHistory(path)
  const lost = lostRecords(folder.output, history)
  if (lost.length > 0)
    remark(`history: ${counted(lost.length, 'report')} without a line there, as after a kill: appended now`)
  return {
    async make(scores, data) {
      const created = new Date()
      const id = newReportId(folder.output, created)
      const known = [...history.records, ...lost].toSorted((a, b) => a.created.localeCompare(b.created))
      const input = inputOf(job, scores, data, { id, created, earlier, history: known })
      const report = await makeReport(input)
      await writeFiles(job, report, scores)
      const publish = async (): Promise<string | undefined> => {
        publishReport(folder, join(folder.scratch, 'report'), id, remark)
        try {
          const damaged = await appendToHistory(path, [...lost, recordOf(report)])
          if (damaged > history.damaged.length) progress.note(`history: ${damagedText(damaged, path)}`)
        } catch (error) {
          if (codeOf(error) === undefined) throw error
          // Reports without a line stay, all of them: the next evaluation appends from them.
          const rest = `the report is whole, in ${reportFolder(folder.output, id)}; the next evaluation appends its line`
          return `history: ${messageOf(error)}; ${rest}`
        }
        const spared = [id, ...(isPath(compareWith) ? [compareWith, dirname(compareWith)] : [])]
        // What the next evaluation is compared with too.
        if (compareWith === 'passed' && earlier && !hasPassed(report)) spared.push(earlier.path)
        removeOldReports(folder, { keep, spared }, progress.note)
        return undefined
      }
      const { damaged } = history
      const lines = [
        ...describe(report),
        ...remarks,
        ...(damaged.length > 0 ? [`history: ${damagedText(damaged.length, path)}`] : []),
      ]
      return { lines, gates: report.gates, report: `reports/${id}`, publish }
    },
  }
}

function earlierOf(compareWith: string, output: string, note: (text: string) => void): ReportInput['earlier'] {
  if (compareWith === 'none') return undefined
  if (isPath(compareWith)) return { path: compareWith, report: readReport(reportFile(compareWith)) }
  const report = previousReport(output, note, compareWith === 'passed' ? hasPassed : undefined)
  return report && { path: report.id, report }
}

function hasPassed({ gates }: Report): boolean {
  return gates.every(({ passed }) => passed)
}

function inputOf(
  { definition, dataSet, making, context, cases, seconds }: Job,
  scores: readonly Score[],
  data: { readonly cases: number; readonly hash: string },
  made: {
    readonly id: string
    readonly created: Date
    readonly earlier: ReportInput['earlier']
    readonly history: readonly HistoryRecord[]
  },
): ReportInput {
  const { title = dataSet.name, strata, volumesMl, bootstrap } = definition.report
  const { emptyRule } = definition.stages.find(({ kind }) => kind === 'dice') as unknown as Pick<Report, 'emptyRule'>
  const engine = definition.network && context.engine().info
  return {
    id: made.id,
    title,
    created: made.created.toISOString(),
    run: {
      ctflow: version(),
      ...making,
      seed: definition.seed,
      engine: engine ? `${engine.backend}, ${engine.precision}, ${engine.device}` : null,
      seconds: seconds(),
      peakRssBytes: peakRss(),
    },
    data: {
      name: dataSet.name,
      ...data,
      missing: scores.filter(({ isMissing }) => isMissing).map(({ case: { id } }) => id),
    },
    emptyRule,
    failures: [...cases.failures],
    scores,
    options: { strata, volumesMl, bootstrap, seed: definition.seed },
    gates: definition.gates,
    ...(made.earlier && { earlier: made.earlier }),
    // A file that several evaluations share has figures of other data sets too, and by other rules.
    history: made.history.filter(one => one.title === title && one.emptyRule === emptyRule).slice(-mostHistory),
    pause: pauseOf(context),
  }
}

async function writeFiles(job: Job, report: Report, scores: readonly Score[]): Promise<void> {
  const { folder } = job
  const page = await evaluationPage(report, {
    pictures: await picturesFor(job, report, scores),
    viewer: await scansFor(job, scores),
  })
  const files = {
    'index.html': page,
    'report.json': `${toJson(report, 2)}\n`,
    'cases.csv': casesTable(report),
    'metrics.prom': await monitoringText(report),
  }
  for (const [name, text] of Object.entries(files)) folder.writeText(join('scratch', 'report', name), text)
}

/** What else people should know at once. */
function describe(report: Report): string[] {
  const { summary, comparison, data, gates } = report
  const [name] = Object.keys(summary)
  const interval =
    name === undefined
      ? []
      : [`${name} ${words(summary[name]!.mean)} (95 % ${words(summary[name]!.low)} to ${words(summary[name]!.high)})`]
  const change = name === undefined ? undefined : comparison?.metrics[name]
  const { missing } = data
  return [
    ...interval,
    ...(change && comparison
      ? [
          `${name} ${words(change.difference, true)} against ${comparison.with} (p ${words(change.p)}, ${comparison.test}): ${change.better.length} cases better, ${change.worse.length} worse`,
        ]
      : []),
    ...(missing.length > 0 ? [`no mask, counted as empty: ${missing.join(', ')}`] : []),
    ...gates.map(({ figure, rule, value, passed, note }) => {
      const more = note === '' ? '' : ` (${note})`
      return `gate ${passed ? 'held' : 'missed'}: ${figure} ${rule}: found ${gateWords(value, rule)}${more}`
    }),
    `report: reports/${report.id}/index.html`,
  ]
}

/** With the digits that tell it from the bound. */
function gateWords(value: Figure, rule: string): string {
  return typeof value === 'number' ? value.toFixed(digitsBeside(value, rule, 4)) : words(value)
}

function words(value: Figure, isChange = false): string {
  if (typeof value !== 'number') return value ?? 'undefined'
  return `${isChange && value > 0 ? '+' : ''}${value.toFixed(4)}`
}

function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function damagedText(n: number, path: string): string {
  return `${counted(n, 'damaged line')} of ${path} set aside, in ${path}.damaged`
}
