/** `evaluate`: scores per case, and a report of them. */

import { createHash } from 'node:crypto'
import { distributions } from '../../stages/index.ts'
import { compose, drain } from '../compose.ts'
import { sectionsOf, type DataSet } from '../data-set.ts'
import type { Definition } from '../definition.ts'
import { PipelineError } from '../errors.ts'
import { watchInput } from '../hashes.ts'
import { needsOf } from '../needs.ts'
import type { Case, Item, Sample, Score } from '../flow.ts'
import type { Context } from '../stage.ts'
import { openReport } from './report.ts'
import { figure, sampleOf, type Job, type TaskResult } from './task.ts'

/** ERR_DATASET where the page is to show cases that there are not; before anything is evaluated. */
export function checkViewer({ dataset, report: { viewer } }: Definition, dataSet: DataSet): void {
  const ids = casesOf(dataset, dataSet).map(({ id }) => id)
  const unknown = viewer.filter(id => !ids.includes(id))
  if (unknown.length === 0) return
  const some = ids.slice(0, 5).join(', ')
  throw new PipelineError(
    'ERR_DATASET',
    `/report/viewer: expected cases of the data set, found ${unknown.join(', ')}; its ${ids.length} cases are ${some}${ids.length > 5 ? ' and so on' : ''}`,
    { unknown },
  )
}

function casesOf(dataset: Definition['dataset'], dataSet: DataSet): readonly Case[] {
  return dataSet.section(sectionsOf('evaluate', dataset)[0]!)
}

export async function evaluate(job: Job): Promise<TaskResult> {
  const { definition, dataSet, schedule, meter, folder, progress, signal, cases } = job
  const context: Context = { ...job.context, keepMasks: new Set(definition.report.viewer) }
  const all = casesOf(definition.dataset, dataSet)
  const scores: Score[] = []
  const report = openReport(job)
  const references = new References(signal)
  progress.begin('evaluate', all.length)
  schedule.begin({ ids: all.map(({ id }) => id) }, [])
  const flow = compose(definition.stages, context, meter).at(-1)!
  const need = needsOf(definition.stages, { classes: definition.network ? context.engine().info.classes : 0 })
  const sink = {
    item(item: Item) {
      const score = item as Score
      scores.push(score)
      cases.succeed(score.case.id)
      folder.appendLine('metrics.jsonl', { case: score.case.id, ...score.metrics })
      progress.event('score', { case: score.case.id, ...score.metrics }, `${score.case.id}  ${describe(score)}`)
      progress.advance(scores.length)
    },
    caseFailed: cases.fail,
  }
  await drain(
    references.watched(all, found => sampleOf(found, 0, need)),
    flow,
    sink,
    signal,
  )
  const metrics = distributions(scores)
  const lines = [`${scores.length} of ${all.length} cases evaluated`, ...table(metrics)]
  // Without a single score there is nothing to report, and the run has failed.
  if (scores.length === 0 || signal.aborted) return { metrics, lines }
  const made = await report.make(scores, { cases: all.length, hash: await references.hash() })
  return { metrics, ...made, lines: [...lines, ...made.lines] }
}

/** Hashes references while their cases are at work, so that the files are read once from the disk. */
class References {
  readonly #hashes: { readonly id: string; readonly content: ReturnType<typeof watchInput> }[] = []
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Samples of the cases, as they are pulled. */
  *watched(cases: readonly Case[], sampleOf: (found: Case) => Sample): Generator<Sample> {
    for (const found of cases) {
      const { id, index, label } = found
      const content =
        label === undefined
          ? Promise.resolve(() => Promise.resolve(null))
          : watchInput({ id, index, image: label }, this.#signal)
      this.#hashes.push({ id, content })
      yield sampleOf(found)
    }
  }

  /** Of the list of cases and the content of their references; one that cannot be read counts by its case alone. */
  async hash(): Promise<string> {
    const hash = createHash('sha256')
    for (const { id, content } of this.#hashes) {
      const found = await (await content)()
      hash.update(`${JSON.stringify([id, found])}\n`)
    }
    return hash.digest('hex')
  }
}

function describe({ metrics }: Score): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${figure(value)}`)
    .join('  ')
}

/** One line per metric: mean, median, range. */
export function table(metrics: ReturnType<typeof distributions>): string[] {
  const rows = Object.entries(metrics).filter(([name]) => !name.includes('Voxels'))
  const width = Math.max(14, ...rows.map(([name]) => name.length))
  return rows.map(([name, { mean, median, min, max, cases, infinite, undefined: none }]) => {
    const notes = `${infinite ? `, ${infinite} infinite` : ''}${none ? `, ${none} undefined` : ''}`
    return `${name.padEnd(width)} mean ${figure(mean)}  median ${figure(median)}  range ${figure(min)} to ${figure(max)}  (${cases} cases${notes})`
  })
}
