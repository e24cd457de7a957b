/** `run-pipeline history`: what evaluations have found over time. */

import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import plot from 'simple-ascii-chart'
import { PipelineError } from '../pipeline/errors.ts'
import { historyName, readHistory } from '../pipeline/history.ts'
import type { Figure, HistoryRecord } from '../schemas/report.ts'
import { perform } from './command.ts'

export interface HistoryFlags {
  readonly metric: string
  readonly last: number
  readonly json?: boolean
}

const plotHeight = 12
const plotWidth = 72

/** Exit code 2 where there is no such history, or none of its evaluations has the metric. */
export function historyCommand(given: string, { metric, last, json }: HistoryFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const path = fileAt(resolve(given))
    const { records: all, damaged } = readHistory(path)
    const names = [...new Set(all.flatMap(({ figures }) => Object.keys(figures)))]
    if (all.length > 0 && !names.includes(metric)) {
      const message = `${path}: no evaluation has a metric "${metric}"; expected one of ${names.join(', ')}`
      throw new PipelineError('ERR_FILE', message, { path, metric })
    }
    const records = all.slice(-last)
    const lines = [
      ...table(records, metric),
      ...curve(records, metric),
      ...(all.length > records.length ? [`the last ${records.length} of ${all.length} evaluations`] : []),
      ...(damaged.length > 0
        ? [`damaged lines left out: ${damaged.length}; the next evaluation sets them aside, in ${path}.damaged`]
        : []),
    ]
    return { exitCode: 0, lines, facts: { history: path, metric, records, damaged: damaged.length } }
  })
}

function fileAt(path: string): string {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  const file = isFolder ? join(path, historyName) : path
  if (existsSync(file)) return file
  const why = 'there is no such file; evaluations write one'
  throw new PipelineError('ERR_FILE', `${file}: expected a history: ${why}`, { path: file })
}

function table(records: readonly HistoryRecord[], metric: string): string[] {
  if (records.length === 0) return ['no evaluations yet']
  const head = ['created', 'cases', `${metric} mean`, '95 % interval', 'change', 'model', 'data', 'gates missed']
  let before: Figure = null
  const rows = records.map(({ created, cases, figures, model, data, gates }) => {
    const { mean = null, low = null, high = null } = figures[metric] ?? {}
    const change = typeof mean === 'number' && typeof before === 'number' ? mean - before : null
    before = mean
    return [
      created.slice(0, 19).replace('T', ' '),
      casesText(cases),
      figureText(mean),
      mean === null ? '' : `${figureText(low)} to ${figureText(high)}`,
      change === null ? '' : `${change > 0 ? '+' : ''}${change.toFixed(4)}`,
      hashText(model),
      hashText(data),
      gates.join(', '),
    ]
  })
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map(row => row[i]!.length)))
  return [head, ...rows].map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
}

function casesText({ evaluated, missing, failed }: HistoryRecord['cases']): string {
  const notes = [missing > 0 ? [`${missing} missing`] : [], failed > 0 ? [`${failed} failed`] : []].flat()
  return `${evaluated}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`
}

function figureText(value: Figure): string {
  return typeof value === 'number' ? value.toFixed(4) : (value ?? '-')
}

/** As much as tells two apart; "-" where masks were compared. */
function hashText(hash: string | null): string {
  return hash?.slice(0, 8) ?? '-'
}

/** Means from left to right in the order of the table; nothing where fewer than two are numbers. */
function curve(records: readonly HistoryRecord[], metric: string): string[] {
  const means = records.map(({ figures }) => figures[metric]?.mean)
  const points = means.flatMap((mean, i) => (typeof mean === 'number' ? [[i + 1, mean] as [number, number]] : []))
  if (points.length < 2) return []
  const values = points.map(([, mean]) => mean)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  // One value that never changes still needs an axis.
  const margin = least === most ? 0.01 : 0
  const drawn = plot(points, {
    title: `${metric} mean, oldest to newest`,
    width: plotWidth,
    height: plotHeight,
    yRange: [least - margin, most + margin],
    formatter: (value, { axis }) => (axis === 'y' ? value.toFixed(4) : Math.round(value)),
  })
  return drawn
    .split('\n')
    .map(line => line.trimEnd())
    .filter(line => line !== '')
}
