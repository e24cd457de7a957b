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
  /** Only evaluations of this one; all without it. */
  readonly title?: string
  readonly json?: boolean
}

const plotHeight = 12
const plotWidth = 72

/** Exit code 2 where there is no such history, or none of its evaluations has the metric or the title. */
export function historyCommand(given: string, { metric, last, title, json }: HistoryFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const path = fileAt(resolve(given))
    const { records: found, damaged } = readHistory(path)
    const titles = [...new Set(found.map(record => record.title))]
    if (title !== undefined && !titles.includes(title)) {
      const message = `${path}: no evaluation has the title "${title}"; found ${titles.map(one => `"${one}"`).join(', ') || 'none at all'}`
      throw new PipelineError('ERR_FILE', message, { path, title })
    }
    const all = title === undefined ? found : found.filter(record => record.title === title)
    const names = [...new Set(all.flatMap(({ figures }) => Object.keys(figures)))]
    if (all.length > 0 && !names.includes(metric)) {
      const message = `${path}: no evaluation has a metric "${metric}"; expected one of ${names.join(', ')}`
      throw new PipelineError('ERR_FILE', message, { path, metric })
    }
    const records = all.slice(-last)
    const series = seriesOf(records)
    const lines = [
      ...table(records, metric),
      ...[...series].flatMap(([name, members]) => curve(members, metric, series.size > 1 ? name : '')),
      ...(all.length > records.length ? [`the last ${records.length} of ${all.length} evaluations`] : []),
      ...(damaged.length > 0
        ? [`damaged lines left out: ${damaged.length}; the next evaluation sets them aside, in ${path}.damaged`]
        : []),
    ]
    return { exitCode: 0, lines, facts: { history: path, metric, records, damaged: damaged.length } }
  })
}

/** What can be compared: evaluations of one title by one rule for empty masks, by a name for people. */
function seriesOf(records: readonly HistoryRecord[]): Map<string, HistoryRecord[]> {
  const series = new Map<string, HistoryRecord[]>()
  for (const record of records) series.set(seriesName(record), [...(series.get(seriesName(record)) ?? []), record])
  return series
}

function seriesName({ title, emptyRule }: HistoryRecord): string {
  return `${title} (empty masks: ${emptyRule})`
}

function fileAt(path: string): string {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  const file = isFolder ? join(path, historyName) : path
  if (existsSync(file)) return file
  const why = 'there is no such file; evaluations write one'
  throw new PipelineError('ERR_FILE', `${file}: expected a history: ${why}`, { path: file })
}

type Column = [name: string, cell: (record: HistoryRecord) => string]

function table(records: readonly HistoryRecord[], metric: string): string[] {
  if (records.length === 0) return ['no evaluations yet']
  const before = new Map<HistoryRecord, Figure>()
  for (const members of seriesOf(records).values())
    for (const [i, record] of members.entries()) if (i > 0) before.set(record, meanOf(members[i - 1]!, metric))
  const hasSeveral = (of: (record: HistoryRecord) => string): boolean => new Set(records.map(of)).size > 1
  const columns: Column[] = [
    ['created', ({ created }) => created.slice(0, 19).replace('T', ' ')],
    ...(hasSeveral(record => record.title) ? [['title', record => record.title] satisfies Column] : []),
    ...(hasSeveral(record => record.emptyRule) ? [['empty masks', record => record.emptyRule] satisfies Column] : []),
    ['cases', ({ cases }) => casesText(cases)],
    [`${metric} mean`, record => figureText(meanOf(record, metric))],
    ['95 % interval', record => intervalText(record.figures[metric])],
    ['change', record => changeText(meanOf(record, metric), before.get(record))],
    ['model', ({ model }) => hashText(model)],
    ['data', ({ data }) => hashText(data)],
    ['gates missed', ({ gates }) => gates.join(', ')],
  ]
  const head = columns.map(([name]) => name)
  const rows = records.map(record => columns.map(([, cell]) => cell(record)))
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map(row => row[i]!.length)))
  return [head, ...rows].map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
}

function meanOf({ figures }: HistoryRecord, metric: string): Figure {
  return figures[metric]?.mean ?? null
}

function intervalText(figures: HistoryRecord['figures'][string] | undefined): string {
  return figures === undefined || figures.mean === null
    ? ''
    : `${figureText(figures.low)} to ${figureText(figures.high)}`
}

/** Against the evaluation before of the same series. */
function changeText(mean: Figure, before: Figure = null): string {
  if (typeof mean !== 'number' || typeof before !== 'number') return ''
  return `${mean > before ? '+' : ''}${(mean - before).toFixed(4)}`
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

/** Means of one series from left to right in the order of the table; nothing where fewer than two are numbers. */
function curve(records: readonly HistoryRecord[], metric: string, name: string): string[] {
  const means = records.map(({ figures }) => figures[metric]?.mean)
  const points = means.flatMap((mean, i) => (typeof mean === 'number' ? [[i + 1, mean] as [number, number]] : []))
  if (points.length < 2) return []
  const values = points.map(([, mean]) => mean)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  // One value that never changes still needs an axis.
  const margin = least === most ? 0.01 : 0
  const drawn = plot(points, {
    title: `${name === '' ? '' : `${name}: `}${metric} mean, oldest to newest`,
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
