/** The memory of a run, told beforehand: what is reserved, what cases take, what is left for a cache, the peak. */

import { parseBytes } from '../bytes.ts'
import type { Definition, StageOptions } from '../definition.ts'
import { stageOf } from '../../stages/index.ts'
import { caseOrder } from '../random-mode.ts'
import type { Reserve } from '../reserves.ts'
import type { Plan } from '../planned.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import { transformsOf } from './transforms.ts'

export interface MemoryPlan {
  readonly limitBytes: number
  readonly reserves: readonly Reserve[]
  /** What the reserves leave. */
  readonly roomBytes: number
  /** Of those that fit, the case that takes most. */
  readonly largest: { readonly case: string; readonly bytes: number } | null
  /** Cases that could never be granted what they need; each will fail alone. */
  readonly tooLarge: readonly { readonly case: string; readonly bytes: number }[]
  /** Most cases that hold memory at once. */
  readonly casesAtOnce: number
  readonly cache: CachePlan | null
  /** The most that the ledger will show as live. */
  readonly peakBytes: number
}

export interface CachePlan {
  readonly policy: string
  readonly encoding: string
  /** Cases that pass the cache more than once: others are not kept. */
  readonly cases: number
  /** Bytes of all of them. */
  readonly bytes: number
  /** What is left for cases that are not in use. */
  readonly roomBytes: number
  /** How many cases memory holds, those in use included, as large as they are on average. */
  readonly holds: number
  /** Share of the training cases that an epoch after the first finds in memory. */
  readonly hitRate: number
}

/** How much smaller than planned the volumes turn out, x, y, z: 1 where only headers were looked at. */
export type Shrink = readonly [number, number, number]

/** A case's plan as the memory sees it. */
interface Item {
  readonly id: string
  /** Claimed until its volumes are made. */
  readonly making: number
  /** Claimed from then on. */
  readonly using: number
  /** Kept by the cache, index included. */
  readonly entry: number
}

/** What was measured of a section, as far as memory depends on it. */
export interface Measured {
  readonly shrink: Shrink
  /** Whether cases are made sooner than they are used up: then those that wait are many, and those at work few. */
  readonly isLoadingFaster: boolean
}

const notMeasured: Measured = { shrink: [1, 1, 1], isLoadingFaster: false }

export function planMemory(
  definition: Pick<Definition, 'memory' | 'stages' | 'random' | 'seed'>,
  sections: readonly PlannedSection[],
  reserves: readonly Reserve[],
  measured: ReadonlyMap<string, Measured> = new Map(),
): MemoryPlan {
  const limitBytes = parseBytes(definition.memory)
  const reserved = reserves.reduce((sum, { bytes }) => sum + bytes, 0)
  const roomBytes = Math.max(0, limitBytes - reserved)
  const all = sections.flatMap(({ cases }) => cases)
  const [fitting, tooLarge] = partition(all, ({ need }) => need.bytes <= roomBytes)
  const largest = fitting.reduce<PlannedCase | undefined>(
    (most, found) => (most && most.need.bytes >= found.need.bytes ? most : found),
    undefined,
  )
  const usable = sections.map(section => ({
    ...section,
    cases: section.cases.filter(({ need }) => need.bytes <= roomBytes),
  }))
  const passes = usable.map(section => passOf(section, definition, measured.get(section.name) ?? notMeasured))
  const cache = planCache(usable, passes, roomBytes)
  const peaks = passes.map(pass => peakOf(pass, passes, cache?.most ?? 0))
  return {
    limitBytes,
    reserves,
    roomBytes,
    largest: largest ? { case: largest.case.id, bytes: largest.need.bytes } : null,
    tooLarge: tooLarge.map(({ case: { id }, need: { bytes } }) => ({ case: id, bytes })),
    casesAtOnce: Math.max(0, ...passes.map(({ making, using }) => making + using)),
    cache: cache?.plan ?? null,
    peakBytes: Math.min(limitBytes, reserved + Math.max(0, ...peaks)),
  }
}

interface Pass {
  readonly items: readonly Item[]
  /** The cases with which its passes begin, as many as are made at once. */
  readonly starts: readonly (readonly Item[])[]
  /** Cases whose volumes are being made at once; 0 without a cache. */
  readonly making: number
  /** Cases that are in use at once beside them. */
  readonly using: number
  readonly isLoadingFaster: boolean
  /** Whether they are wanted again, without which a cache keeps none of them. */
  readonly isRepeated: boolean
}

/** Stages that claim a case's memory where no stage around them has. */
const claiming = ['crop-foreground', 'crop', 'infer', 'dice']

/** Passes whose beginnings are looked at. */
const mostStarts = 50

function passOf(
  { name, stages, cases, passes }: PlannedSection,
  { random, seed }: Pick<Definition, 'random' | 'seed'>,
  { shrink, isLoadingFaster }: Measured,
): Pass {
  const transforms = transformsOf(stages, random)
  const cache = cacheIndex(stages)
  const first = cache >= 0 ? cache + 1 : stages.findIndex(({ kind }) => claiming.includes(kind))
  const crop = stages.findIndex(({ kind }) => kind === 'crop')
  const users = transforms.slice(Math.max(0, first), crop < 0 ? undefined : crop + 1)
  const making = cache >= 0 ? transforms[cache]!.parallel : 0
  const items = cases.map(found => itemOf(found, cache, shrink))
  const order = (epoch: number): readonly Item[] =>
    name === 'training' ? caseOrder(random, items.length, seed, epoch).map(at => items[at]!) : items
  return {
    items: order(0),
    starts: Array.from({ length: Math.min(passes, mostStarts) }, (_, epoch) => order(epoch).slice(0, making)),
    making,
    using: users.reduce((sum, { parallel }) => sum + parallel, 0),
    isLoadingFaster,
    isRepeated: passes > 1,
  }
}

function itemOf({ case: { id }, plans, need }: PlannedCase, cache: number, shrink: Shrink): Item {
  if (cache < 0) return { id, making: need.bytes, using: need.bytes, entry: 0 }
  const entry = entryBytes(plans, cache, shrink)
  return { id, making: need.bytes, using: entry + need.later, entry }
}

/** What a cache keeps of a case: its volumes, and what stages after it derived from them. */
function entryBytes(plans: readonly Plan[], cache: number, shrink: Shrink): number {
  const derived = plans.slice(cache).find(({ flow }) => flow === 'patch') ?? plans[cache]!
  const isExact = Object.values(plans[cache]!.volumes).every(volume => volume.isExact)
  return derived.resident * (isExact ? 1 : shrink[0] * shrink[1] * shrink[2])
}

/** Bytes of what a cache would keep of a pass. */
function keptBytes({ items, isRepeated }: Pass): number {
  return isRepeated ? total(items, ({ entry }) => entry) : 0
}

function cacheIndex(stages: readonly StageOptions[]): number {
  return stages.findLastIndex(({ kind }) => stageOf(kind).wraps)
}

/**
 * The most that lives during a pass. Kept beside it is what will pass again: its own cases that are not in use, and those
 * of other sections. At the beginning all that can be made at once is, hits included, which claim like the others before
 * they are found; later, where cases are made sooner than they are used up, one is, and the rest waits with its volumes.
 */
function peakOf(pass: Pass, passes: readonly Pass[], most: number): number {
  const others = pass.isRepeated ? passes.filter(other => other !== pass) : []
  const keptElsewhere = others.reduce((sum, other) => sum + keptBytes(other), 0)
  const beside = (taken: number): number => Math.min(most, Math.max(0, keptBytes(pass) - taken) + keptElsewhere)
  const starts = pass.starts.map(items => total(items, item => item.making) + beside(total(items, item => item.entry)))
  const { bytes, entries } = mostInFlight(pass)
  return Math.max(0, ...starts, bytes + beside(entries))
}

/** The most that consecutive cases of a pass claim at once. */
function mostInFlight(pass: Pass): { bytes: number; entries: number } {
  const { items } = pass
  const making = pass.isLoadingFaster ? Math.min(1, pass.making) : pass.making
  const using = pass.making - making + pass.using
  let most = { bytes: 0, entries: 0 }
  for (let end = 1; end <= items.length; end++) {
    const made = items.slice(Math.max(0, end - making), end)
    const used = items.slice(Math.max(0, end - making - using), Math.max(0, end - making))
    const bytes = total(made, item => item.making) + total(used, item => item.using)
    if (bytes <= most.bytes) continue
    most = { bytes, entries: total([...made, ...used], item => item.entry) }
  }
  return most
}

function planCache(
  sections: readonly PlannedSection[],
  passes: readonly Pass[],
  caseBytes: number,
): { plan: CachePlan; most: number } | undefined {
  const stages = sections[0]?.stages
  const options = stages?.[cacheIndex(stages)] as CacheOptions | undefined
  if (!options) return undefined
  const { policy = 'memory', encoding = 'exact', bytes: own = 'auto' } = options
  const most = policy === 'memory' || policy === 'both' ? (own === 'auto' ? Infinity : parseBytes(own)) : 0
  const flights = passes.map(mostInFlight)
  const inUse = flights.reduce((largest, flight) => (flight.bytes > largest.bytes ? flight : largest))
  const roomBytes = Math.max(0, Math.min(most, caseBytes - inUse.bytes))
  // Cases in use are in memory too.
  const heldBytes = most === 0 ? 0 : roomBytes + inUse.entries
  const bytes = passes.reduce((sum, pass) => sum + keptBytes(pass), 0)
  const cases = passes.reduce((sum, { items, isRepeated }) => sum + (isRepeated ? items.length : 0), 0)
  const training = passes[0]!.items.length
  // What validation wants comes after what the next epoch wants, so training has the room first.
  const share = keptBytes(passes[0]!) === 0 ? 1 : heldBytes / keptBytes(passes[0]!)
  return {
    most: roomBytes,
    plan: {
      policy,
      encoding,
      cases,
      bytes,
      roomBytes,
      holds: Math.min(cases, Math.floor(cases * (bytes === 0 ? 1 : heldBytes / bytes))),
      // What is kept of one pass is wanted in the next sooner than what the pass adds, so each of it is a hit.
      hitRate: passes[0]!.isRepeated ? Math.min(1, Math.floor(share * training) / Math.max(1, training)) : 0,
    },
  }
}

type CacheOptions = StageOptions & {
  readonly policy?: string
  readonly encoding?: string
  readonly bytes?: string | number
}

function total(items: readonly Item[], bytes: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + bytes(item), 0)
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter(item => !test(item))]
}
