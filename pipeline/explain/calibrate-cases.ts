/** How long cases take to load on this machine: some of them go through the stages, or a part of one that is large. */

import highland from 'highland'
import { stageOf } from '../../stages/index.ts'
import { compose } from '../compose.ts'
import type { Definition, StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import { codeOf } from '../errors.ts'
import type { Engine } from '../engine.ts'
import type { Item, Key, Sample } from '../flow.ts'
import type { Volume } from '../grid.ts'
import type { Transform } from '../stage.ts'
import { sampleOf } from '../tasks/task.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import type { Shrink } from './memory.ts'
import { measured, noEffort, plus, times, type Effort } from './stopwatch.ts'

export interface CaseSpeeds {
  /** Making a case, up to its patches where it has some, per inflated byte of its files. */
  readonly making: Effort
  /** What is left of that once a cache has its volumes, a case. */
  readonly again: Effort
  /** The cases that were taken. */
  readonly cases: readonly string[]
  /** Whether only a part of one was. */
  readonly isPart: boolean
  /** How much smaller than planned volumes turned out whose extents only voxels tell. */
  readonly shrink: Shrink
}

/** Files larger than this are first tried in part, bytes. */
const large = 64 << 20

const keys: readonly Key[] = ['image', 'label', 'prediction']

/** Spends about `seconds` on cases of a section, those of usual size first. Undefined where it has none, or none that can be read. */
export async function timeCases(
  { random }: Pick<Definition, 'random'>,
  section: PlannedSection,
  classes: number,
  seconds: number,
): Promise<CaseSpeeds | undefined> {
  const deadline = performance.now() + seconds * 1000
  const stages = loadingStages(section.stages)
  const context = dryContext(random, { info: { classes } } as Engine)
  const flows = compose(stages, context)
  const taken: { case: PlannedCase; making: Effort; again: Effort; shrink: Shrink | undefined }[] = []
  for (const planned of usualFirst(section.cases)) {
    if (taken.length > 0 && performance.now() > deadline) break
    if (taken.length > 0 && secondsFor(planned, taken) > Math.max(0.1, 2 * secondsUntil(deadline))) continue
    try {
      if (inflatedBytes(planned) > large && taken.length === 0) {
        const part = await timePart(stages, random, planned, seconds / 2)
        if (part.wall * inflatedBytes(planned) > seconds)
          return { making: part, again: noEffort, cases: [planned.case.id], isPart: true, shrink: [1, 1, 1] }
      }
      taken.push({ case: planned, ...(await timeWhole(stages, flows, planned)) })
    } catch (error) {
      // A case that cannot be read says nothing of speed; that it cannot, the run will tell.
      if (codeOf(error) === undefined) throw error
    }
  }
  // The first one had code to compile.
  const counted = taken.length > 2 ? taken.slice(1) : taken
  if (counted.length === 0) return undefined
  const bytes = counted.reduce((sum, { case: planned }) => sum + inflatedBytes(planned), 0)
  const shrinks = counted.flatMap(({ shrink }) => (shrink ? [shrink] : []))
  const mean = (axis: 0 | 1 | 2): number =>
    shrinks.length === 0 ? 1 : shrinks.reduce((sum, shrink) => sum + shrink[axis], 0) / shrinks.length
  return {
    making: times(plus(...counted.map(({ making }) => making)), 1 / bytes),
    again: times(plus(...counted.map(({ again }) => again)), 1 / counted.length),
    cases: counted.map(({ case: planned }) => planned.case.id),
    isPart: false,
    shrink: [mean(0), mean(1), mean(2)],
  }
}

/** How long a case may take, by what others took: one that is much larger would take much longer than there is. */
function secondsFor(
  planned: PlannedCase,
  taken: readonly { readonly case: PlannedCase; readonly making: Effort }[],
): number {
  const bytes = taken.reduce((sum, { case: one }) => sum + inflatedBytes(one), 0)
  return (plus(...taken.map(({ making }) => making)).wall * inflatedBytes(planned)) / bytes
}

function secondsUntil(deadline: number): number {
  return (deadline - performance.now()) / 1000
}

/** Inflated bytes of a case's files. */
export function inflatedBytes({ files }: PlannedCase): number {
  return files.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
}

/** The stages before batches and windows; nothing is written to a cache's disk. */
function loadingStages(stages: readonly StageOptions[]): readonly StageOptions[] {
  const end = stages.findIndex(({ kind }) => ['batch', 'prediction'].includes(stageOf(kind).gives))
  return stages
    .slice(0, end < 0 ? undefined : end)
    .map(options => (options['policy'] === undefined ? options : { ...options, policy: 'memory' }))
}

async function timeWhole(
  stages: readonly StageOptions[],
  flows: readonly Transform[],
  planned: PlannedCase,
): Promise<{ making: Effort; again: Effort; shrink: Shrink | undefined }> {
  const cache = stages.findLastIndex(({ kind }) => stageOf(kind).wraps)
  const through = (flow: Transform): Promise<{ result: Item[]; effort: Effort }> =>
    measured(() => pulled(flow, planned))
  if (cache < 0) {
    const { result, effort } = await through(flows.at(-1)!)
    return { making: effort, again: effort, shrink: shrinkOf(result[0]!, planned, stages.length - 1) }
  }
  const kept = await through(flows[cache]!)
  const shrink = shrinkOf(kept.result[0]!, planned, cache)
  const first = await through(flows.at(-1)!)
  const again = await through(flows.at(-1)!)
  return { making: plus(kept.effort, first.effort), again: again.effort, shrink }
}

/** What comes out of a flow for a case; volumes that are still to be read are read. */
async function pulled(flow: Transform, { case: found }: PlannedCase): Promise<Item[]> {
  const source = flow(highland<Item>([sampleOf(found, 0)]))
  const items = (await source.collect().toPromise(Promise)) as unknown as Item[]
  for (const item of items) {
    if ('metrics' in item || !('steps' in item)) continue
    const volumes = keys.flatMap(key => item[key] ?? [])
    const lazy = volumes.filter(volume => !volume.resident && !volume.region)
    await Promise.all(lazy.map(volume => readPlanes(volume, () => true)))
    item.claim?.release()
  }
  return items
}

/** Reads a volume slab by slab while `goOn` says so; gives the share of its planes that was read. */
async function readPlanes(volume: Volume, goOn: () => boolean): Promise<number> {
  const [, , nz] = volume.grid.shape
  for await (const { z, planes } of volume.slabs()) if (!goOn()) return (z + planes) / nz
  return 1
}

function isStreaming(kind: string): boolean {
  return stageOf(kind).gives === 'volume' && !stageOf(kind).wraps && kind !== 'crop-foreground' && kind !== 'pad'
}

/** A part of a large case, as far as it streams: effort per inflated byte, as if the rest went on like this. */
async function timePart(
  stages: readonly StageOptions[],
  random: Definition['random'],
  planned: PlannedCase,
  seconds: number,
): Promise<Effort> {
  const end = stages.findIndex(({ kind }) => !isStreaming(kind))
  const streaming = stages.slice(0, end < 0 ? undefined : end)
  const searches = stages.filter(({ kind }) => kind === 'crop-foreground').length
  const flow = compose(streaming, dryContext(random)).at(-1)!
  const [sample] = (await flow(highland<Item>([sampleOf(planned.case, 0)]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
  const deadline = performance.now() + seconds * 1000
  const volumes = keys.flatMap(key => sample![key] ?? [])
  const { result: shares, effort } = await measured(() =>
    Promise.all(volumes.map(volume => readPlanes(volume, () => performance.now() < deadline))),
  )
  const share = shares.reduce((sum, done) => sum + done, 0) / Math.max(1, shares.length)
  // Each search pulls one of the volumes once more.
  const passes = 1 + searches / Math.max(1, volumes.length)
  return times(effort, passes / Math.max(share, 1e-3) / inflatedBytes(planned))
}

/** Where only voxels tell the extents: how much smaller they are than planned. */
function shrinkOf(item: Item, { plans }: PlannedCase, stage: number): Shrink | undefined {
  const plan = plans[stage]?.volumes.image
  const found = 'steps' in item ? item.image?.grid.shape : undefined
  if (!plan || plan.isExact || !found) return undefined
  const [x, y, z] = plan.grid.shape
  return [found[0] / x, found[1] / y, found[2] / z]
}

/** Cases by how near their size is to the median's. */
function usualFirst(cases: readonly PlannedCase[]): readonly PlannedCase[] {
  const sizes = cases.map(inflatedBytes).toSorted((a, b) => a - b)
  const usual = sizes[Math.floor(sizes.length / 2)] ?? 0
  return cases.toSorted((a, b) => Math.abs(inflatedBytes(a) - usual) - Math.abs(inflatedBytes(b) - usual))
}
