/** The page that a training leaves beside its weights. */

import { trainingPage, type Training } from '../../stages/index.ts'
import { sectionsOf } from '../data-set.ts'
import type { Score } from '../stage.ts'
import { version } from '../version.ts'
import { chosen, shown } from './gallery.ts'
import type { Job } from './task.ts'

/** What a training has told so far. */
export interface TrainingLog {
  readonly epochs: Training['epochs'][number][]
  /** Of the last validation. */
  validated: readonly Score[]
}

/** Writes `index.html`. */
export async function writeTrainingPage(
  job: Job,
  { epochs, validated }: TrainingLog,
  best: Training['best'],
): Promise<void> {
  const { definition, dataSet, folder } = job
  const { title = dataSet.name, gallery } = definition.report
  const page = await trainingPage({
    title,
    created: new Date().toISOString(),
    facts: factsOf(job),
    epochs,
    ...(best && { best }),
    pictures: await shown(job, chosen(worstFirst(validated), gallery)),
  })
  folder.writeText('index.html', page)
}

function factsOf({ definition, dataSet, context, seconds }: Job): Training['facts'] {
  const { backend, precision, threads, device, parameters } = context.engine().info
  const sections = sectionsOf('train', definition.dataset).map(name => `${dataSet.section(name).length} ${name}`)
  return [
    ['Data set', dataSet.name],
    ['Cases', sections.join(', ')],
    ['Network', `${definition.network!.kind}, ${parameters.toLocaleString('en')} parameters`],
    ['Engine', `${backend}, ${precision}, ${threads} threads, ${device}`],
    ['Seed', String(definition.seed)],
    ['Time', `${Math.round(seconds())} s`],
    ['ctflow', version()],
  ]
}

/** Cases without a Dice come last. */
function worstFirst(scores: readonly Score[]): Score[] {
  return scores.toSorted((a, b) => (a.metrics['dice'] ?? Infinity) - (b.metrics['dice'] ?? Infinity) || 0)
}
