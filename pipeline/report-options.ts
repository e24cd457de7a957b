/** What a definition says of its report, beyond what the schema can judge. */

import { statSync } from 'node:fs'
import { gateProblems, readReport, scoreNames } from '../stages/index.ts'
import type { Definition, ReportOptions } from './definition.ts'
import { codeOf, messageOf } from './errors.ts'
import type { Problem } from './problems.ts'
import { reportFile } from './reports.ts'

/** Gates that can never be judged, groups in no order. */
export function reportProblems({ task, gates, report, stages }: Definition): Problem[] {
  const dice = stages.find(({ kind }) => kind === 'dice') as Parameters<typeof scoreNames>[0] | undefined
  const problems = gateProblems(gates, dice && scoreNames(dice)).map(message => ({ path: '/gates', message }))
  const names = Object.keys(gates)
  if (names.length > 0 && task !== 'evaluate')
    problems.push({ path: '/gates', message: `gates are for "task": "evaluate", found "${task}"; leave them out` })
  const change = names.find(name => /\.(drop|rise)$/.test(name))
  if (change !== undefined && report.compareWith === 'none')
    problems.push({
      path: '/gates',
      message: `"${change}" needs an earlier report, and "report.compareWith" is "none"; name one, or "previous" or "passed"`,
    })
  const disorder = report.volumesMl.findIndex((ml, i) => i > 0 && ml <= report.volumesMl[i - 1]!)
  if (disorder > 0) {
    const message = `expected ascending volumes, found ${report.volumesMl[disorder]} after ${report.volumesMl[disorder - 1]}`
    problems.push({ path: `/report/volumesMl/${disorder}`, message })
  }
  return problems
}

/** With absolute paths. */
export function absoluteReport(report: ReportOptions, at: (path: string) => string): ReportOptions {
  const { compareWith, history } = report
  return {
    ...report,
    ...(isPath(compareWith) && { compareWith: at(compareWith) }),
    ...(history !== undefined && { history: at(history) }),
  }
}

/** Whether it names a report rather than saying which. */
export function isPath(compareWith: string): boolean {
  return !['previous', 'passed', 'none'].includes(compareWith)
}

/** Lines on files that are not what they should be, `pointer: path: why`. */
export function fileProblems({ task, report: { compareWith, history } }: Definition): string[] {
  if (task !== 'evaluate') return []
  const problems: string[] = []
  if (isPath(compareWith)) {
    try {
      readReport(reportFile(compareWith))
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      problems.push(`/report/compareWith: ${messageOf(error)}`)
    }
  }
  if (history !== undefined && statSync(history, { throwIfNoEntry: false })?.isDirectory())
    problems.push(`/report/history: ${history}: expected a file, found a folder`)
  return problems
}
