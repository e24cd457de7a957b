/** Which cases a page shows: the worst, some around the median, and those that were asked for. */

import type { Report } from '../../schemas/report.ts'
import { millilitres, picturesOf, viewerCases, type Picture, type ViewerCase, type Viewed } from '../../stages/index.ts'
import { codeOf, messageOf } from '../errors.ts'
import type { Score } from '../flow.ts'
import { figure, type Job } from './task.ts'

/** A case to be shown. */
export interface Shown {
  readonly score: Score
  readonly why: 'worst' | 'median'
}

/** The first `n` of the cases, worst first, and half as many of those in the middle. */
export function chosen(worstFirst: readonly Score[], n: number): Shown[] {
  const half = Math.ceil(n / 2)
  const start = Math.max(0, Math.floor((worstFirst.length - half) / 2))
  const worst = worstFirst.slice(0, n)
  const median = worstFirst.slice(start, start + half).filter(score => !worst.includes(score))
  return [
    ...worst.map(score => ({ score, why: 'worst' as const })),
    ...median.map(score => ({ score, why: 'median' as const })),
  ]
}

/** Pictures of the report's worst and median cases. */
export function picturesFor(job: Job, report: Report, scores: readonly Score[]): Promise<Picture[]> {
  const byId = new Map(scores.map(score => [score.case.id, score]))
  const worstFirst = report.worst.flatMap(id => byId.get(id) ?? [])
  return shown(job, chosen(worstFirst, job.definition.report.gallery))
}

/** Pictures of cases whose planes are known. */
export async function shown({ context, progress }: Job, cases: readonly Shown[]): Promise<Picture[]> {
  const planes = cases.flatMap(({ score, why }) =>
    score.slices ? { case: score.case, why, slices: score.slices, caption: captionOf(score) } : [],
  )
  return gathered('pictures', progress.note, picturesOf(planes, context))
}

/** Scans of the cases that the definition names, for the viewer; one that has failed is noted. */
export async function scansFor(
  { definition, context, progress }: Job,
  scores: readonly Score[],
): Promise<ViewerCase[]> {
  const viewed = scores.flatMap(({ case: found, masks }): Viewed[] => (masks ? [{ case: found, masks }] : []))
  const failed = definition.report.viewer.filter(id => !viewed.some(each => each.case.id === id))
  if (failed.length > 0) progress.note(`report: not in the viewer, as they have failed: ${failed.join(', ')}`)
  return gathered('cases of the viewer', progress.note, viewerCases(viewed, context))
}

/** All that there are until one cannot be made: a page with fewer pictures is better than none. */
async function gathered<T>(what: string, note: (text: string) => void, made: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  try {
    for await (const item of made) items.push(item)
  } catch (error) {
    note(`report: not all ${what} could be made: ${excused(error)}`)
  }
  return items
}

/**
 * What is said of an error that costs a finished run some of its page, a bug among them; rethrows what ends the run: its own
 * end, and an output that cannot be written.
 */
export function excused(error: unknown): string {
  const code = codeOf(error)
  if (code === 'ERR_INTERRUPTED' || code === 'ERR_OUTPUT') throw error
  return code === undefined ? `internal error, please report it: ${messageOf(error)}` : messageOf(error)
}

function captionOf({ metrics: { dice, referenceMl, predictedMl }, isMissing }: Score): string {
  const volumes =
    referenceMl === undefined ? '' : `; reference ${volumeText(referenceMl)}, found ${volumeText(predictedMl)}`
  return `Dice ${figure(dice)}${isMissing ? ', no mask' : ''}${volumes}.`
}

function volumeText(value: number | null | undefined): string {
  return typeof value === 'number' ? `${millilitres(value)} ml` : 'undefined'
}
