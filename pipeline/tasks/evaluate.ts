/** `evaluate`: scores per case, their distribution, a table. */

import { distributions } from '../../stages/index.ts'
import { compose, drain } from '../compose.ts'
import { sectionsOf } from '../data-set.ts'
import { needsOf } from '../needs.ts'
import type { Item, Score } from '../stage.ts'
import { figure, sampleOf, type Job, type TaskResult } from './task.ts'

export async function evaluate({
  definition,
  dataSet,
  context,
  schedule,
  meter,
  folder,
  progress,
  signal,
  cases,
}: Job): Promise<TaskResult> {
  const all = dataSet.section(sectionsOf('evaluate', definition.dataset)[0]!)
  const scores: Score[] = []
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
    all.map(found => sampleOf(found, 0, need)),
    flow,
    sink,
    signal,
  )
  const metrics = distributions(scores)
  return { metrics, lines: [`${scores.length} of ${all.length} cases evaluated`, ...table(metrics)] }
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
