/** The page that a training leaves beside its weights. */

import { basename } from 'node:path'
import { trainingPage, type Picture, type Training } from '../../stages/index.ts'
import { sectionsOf } from '../data-set.ts'
import type { Score } from '../flow.ts'
import { version } from '../version.ts'
import { chosen, excused, shown } from './gallery.ts'
import type { Job } from './task.ts'

/** What a training has told so far. */
export interface TrainingLog {
  readonly epochs: Training['epochs'][number][]
  /** Of the last validation. */
  validated: readonly Score[]
}

/** Of the last validation; to be made before another pass over cases, which no longer has its masks. */
export function trainingPictures(job: Job, { validated }: TrainingLog): Promise<Picture[]> {
  return shown(job, chosen(worstFirst(validated), job.definition.report.gallery))
}

/** Writes `index.html`; a page that cannot be made is noted. ERR_OUTPUT where it cannot be written. */
export async function writeTrainingPage(
  job: Job,
  training: Pick<Training, 'epochs' | 'best' | 'pictures'>,
): Promise<void> {
  const { definition, dataSet, folder, progress } = job
  const { title = `Training on ${shortName(dataSet.name)}` } = definition.report
  try {
    const page = await trainingPage({ title, created: new Date().toISOString(), facts: factsOf(job), ...training })
    folder.writeText('index.html', page)
  } catch (error) {
    progress.note(`report: the page of the training could not be made: ${excused(error)}`)
  }
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

/** A data set's name without folders: "phantoms (/cache/dataset.json)" gives "phantoms", "/scans/covid.json" gives "covid.json". */
function shortName(name: string): string {
  return basename(name.replace(/ \(.*\)$/, ''))
}
