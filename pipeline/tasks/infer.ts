/** `infer`: scans in, masks out. */

import { compose, drain } from '../compose.ts'
import { sectionsOf } from '../data-set.ts'
import { needsOf } from '../needs.ts'
import type { Item, Prediction } from '../stage.ts'
import { distribution } from '../summary.ts'
import { sampleOf, type Job, type TaskResult } from './task.ts'

export async function infer({
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
  const all = dataSet.section(sectionsOf('infer', definition.dataset)[0]!)
  const seconds: number[] = []
  progress.begin('infer', all.length)
  schedule.begin({ ids: all.map(({ id }) => id) }, [])
  const flow = compose(definition.stages, context, meter).at(-1)!
  const need = needsOf(definition.stages, { classes: definition.network ? context.engine().info.classes : 0 })
  const sink = {
    item(item: Item) {
      const prediction = item as Prediction
      seconds.push(prediction.seconds)
      cases.succeed(prediction.case.id)
      const facts = { case: prediction.case.id, windows: prediction.windows, seconds: prediction.seconds }
      folder.appendLine('metrics.jsonl', facts)
      progress.event(
        'case',
        facts,
        `${prediction.case.id}  ${prediction.windows} windows  ${prediction.seconds.toFixed(2)} s`,
      )
      progress.advance(seconds.length)
    },
    caseFailed: cases.fail,
  }
  await drain(
    all.map(found => sampleOf(found, 0, need)),
    flow,
    sink,
    signal,
  )
  return {
    metrics: { secondsPerCase: distribution(seconds) },
    lines: [`${seconds.length} masks of ${all.length} cases`],
  }
}
