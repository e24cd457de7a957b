/** Which cases a page shows: the worst, some around the median, and those that were asked for. */

import type { Report } from '../../schemas/report.ts'
import { picturesOf, viewerCases, type Picture, type ViewerCase } from '../../stages/index.ts'
import { codeOf, messageOf } from '../errors.ts'
import type { KeySlices, Score } from '../stage.ts'
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
  return gathered('pictures', progress.note, async function* () {
    const planes: { case: Score['case']; why: Shown['why']; slices: KeySlices; caption: string }[] = []
    for (const { score, why } of cases) {
      const slices = await score.slices?.()
      if (slices) planes.push({ case: score.case, why, slices, caption: captionOf(score) })
    }
    if (planes.length > 0) yield* picturesOf(planes, context)
  })
}

/** Scans of the cases that the definition names, for the viewer. */
export async function scansFor(
  { definition, context, progress }: Job,
  scores: readonly Score[],
): Promise<ViewerCase[]> {
  const asked = definition.report.viewer
  const found = scores.map(score => score.case).filter(({ id }) => asked.includes(id))
  const unknown = asked.filter(id => !found.some(each => each.id === id))
  if (unknown.length > 0) progress.note(`report: no such case for the viewer: ${unknown.join(', ')}`)
  if (found.length === 0) return []
  return gathered('viewer', progress.note, () => viewerCases(found, context))
}

/** All that there are until one cannot be made: a page with fewer pictures is better than none. */
async function gathered<T>(what: string, note: (text: string) => void, make: () => AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  try {
    for await (const item of make()) items.push(item)
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || code === 'ERR_INTERRUPTED' || code === 'ERR_OUTPUT') throw error
    note(`report: not all ${what} could be made: ${messageOf(error)}`)
  }
  return items
}

function captionOf({ metrics: { dice, referenceMl, predictedMl }, isMissing }: Score): string {
  const volumes =
    referenceMl === undefined ? '' : `; reference ${millilitres(referenceMl)}, found ${millilitres(predictedMl)}`
  return `Dice ${figure(dice)}${isMissing ? ', no mask' : ''}${volumes}.`
}

function millilitres(value: number | null | undefined): string {
  return typeof value === 'number' ? `${value.toFixed(1)} ml` : 'undefined'
}
