/** A cheap look at labels: whether they hold any lesion at all. */

import highland from 'highland'
import { compose } from '../compose.ts'
import type { Definition, StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import type { Item, Sample } from '../flow.ts'
import type { Volume } from '../grid.ts'
import type { Failure } from '../summary.ts'
import { sampleOf } from '../tasks/task.ts'
import { failureOf, type PlannedCase, type PlannedSection } from './cases.ts'

export interface LabelLook {
  readonly looked: number
  readonly withoutLesion: readonly string[]
  /** Labels that cannot be read, or hold values that mean nothing. */
  readonly failures: readonly Failure[]
}

/**
 * Reads labels, as the definition maps their values, until a voxel is not background, and for no longer than `seconds`;
 * Infinity reads them all.
 */
export async function lookAtLabels(
  { random }: Pick<Definition, 'random'>,
  sections: readonly PlannedSection[],
  seconds: number,
  seen: (done: number, total: number) => void = () => {},
): Promise<LabelLook> {
  const deadline = performance.now() + seconds * 1000
  const withoutLesion: string[] = []
  const failures: Failure[] = []
  const all = sections.flatMap(section =>
    spread(section.cases.filter(({ case: found }) => found.label !== undefined)).map(planned => ({ section, planned })),
  )
  let looked = 0
  for (const { section, planned } of all) {
    if (performance.now() > deadline) break
    try {
      const found = await hasLesion(labelStages(section.stages), random, planned, deadline)
      if (found === undefined) break
      if (!found) withoutLesion.push(planned.case.id)
    } catch (error) {
      failures.push(failureOf(error, planned.case))
    }
    seen(++looked, all.length)
  }
  return { looked, withoutLesion, failures }
}

/** Of `load` only the label, and what its values mean. */
function labelStages([load, ...others]: readonly StageOptions[]): readonly StageOptions[] {
  return [{ ...load!, keys: ['label'] }, ...others.filter(({ kind }) => kind === 'map-label')]
}

async function hasLesion(
  stages: readonly StageOptions[],
  random: Definition['random'],
  { case: found }: PlannedCase,
  deadline: number,
): Promise<boolean | undefined> {
  const flow = compose(stages, dryContext(random)).at(-1)!
  const [sample] = (await flow(highland<Item>([sampleOf(found, 0)]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
  return anyAboveZero(sample!.label!, deadline)
}

/** Undefined where the time was over before all voxels were seen. */
async function anyAboveZero(volume: Volume, deadline: number): Promise<boolean | undefined> {
  for await (const { voxels } of volume.slabs()) {
    for (let i = 0; i < voxels.length; i++) if (voxels[i] !== 0) return true
    if (performance.now() > deadline) return undefined
  }
  return false
}

/** The cases in an order in which the first few come from everywhere in the list. */
function spread<T>(items: readonly T[]): readonly T[] {
  const step = items.length < 8 ? 1 : nextCoprime(Math.floor(items.length * 0.618), items.length)
  return items.map((_, i) => items[(i * step) % items.length]!)
}

function nextCoprime(from: number, n: number): number {
  const divides = (a: number, b: number): number => (b === 0 ? a : divides(b, a % b))
  let step = Math.max(1, from)
  while (divides(step, n) !== 1) step++
  return step
}
