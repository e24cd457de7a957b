/** How long a run will take, from how long its parts do: loading and computing go on side by side. */

import type { Definition } from '../definition.ts'
import { standingOf } from '../plan.ts'
import type { TrainOptions } from '../../stages/index.ts'
import type { EngineSpeeds } from './calibrate-engine.ts'
import { inflatedBytes, type CaseSpeeds } from './calibrate-cases.ts'
import type { WindowSpeeds } from './calibrate-windows.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import type { Measured, MemoryPlan, Shrink } from './memory.ts'
import { noEffort, plus, times, type Effort } from './stopwatch.ts'
import { transformsOf } from './transforms.ts'

/** What was measured on this machine. */
export interface Calibration {
  readonly seconds: number
  /** Processors that the run has. */
  readonly cores: number
  readonly engine: EngineSpeeds
  /** By section. */
  readonly cases: ReadonlyMap<string, CaseSpeeds>
  readonly windows: ReadonlyMap<string, WindowSpeeds>
}

export interface TimePlan {
  /** One pass over the training cases, without validation. */
  readonly epoch?: {
    readonly steps: number
    readonly firstSeconds: number
    readonly laterSeconds: number
    /** What the network alone takes of it, and what loading alone takes. */
    readonly networkSeconds: number
    readonly firstLoadingSeconds: number
    readonly laterLoadingSeconds: number
  }
  /** One pass over each of the other sections, the first time and later. */
  readonly passes: readonly {
    readonly section: string
    readonly windows: number
    readonly firstSeconds: number
    readonly laterSeconds: number
    readonly times: number
  }[]
  readonly totalSeconds: number
}

/** Undefined where nothing could be measured. */
export function planTime(
  definition: Definition,
  sections: readonly PlannedSection[],
  memory: MemoryPlan,
  calibration: Calibration,
): TimePlan | undefined {
  const train = definition.task === 'train' ? (definition.stages.at(-1) as unknown as TrainOptions) : undefined
  const fits = (section: PlannedSection): PlannedSection => ({
    ...section,
    cases: section.cases.filter(({ need }) => need.bytes <= memory.roomBytes),
  })
  const [first, ...others] = sections.map(fits)
  if (!first || (train && !calibration.engine.step)) return undefined
  const epoch = train ? planEpoch(definition, first, memory, calibration) : undefined
  const passes = (train ? others : [first]).flatMap(section => {
    const pass = planPass(section, definition, memory, calibration)
    return pass ? [{ section: section.name, ...pass, times: section.passes }] : []
  })
  const epochs = train?.epochs ?? 0
  const saving = calibration.engine.save?.wall ?? 0
  const training = epoch ? epoch.firstSeconds + (epochs - 1) * epoch.laterSeconds + epochs * saving : 0
  const rest = passes.reduce((sum, pass) => sum + pass.firstSeconds + (pass.times - 1) * pass.laterSeconds, 0)
  return { ...(epoch && { epoch }), passes, totalSeconds: training + rest }
}

/** What the memory plan wants to know of the calibration. */
export function measuredOf(section: PlannedSection, definition: Definition, calibration: Calibration): Measured {
  const speeds = calibration.cases.get(section.name)
  const making = total(section.cases, found => makingOf(found, speeds))
  const computing = computingOf(section, definition, calibration)
  return {
    shrink: speeds?.shrink ?? [1, 1, 1],
    isLoadingFaster: making.wall / parallelOf(section, definition.random) < computing.effort.wall,
  }
}

/** What the network and all that is around it takes for one pass over a section, and how many windows that is. */
function computingOf(
  section: PlannedSection,
  { stages }: Definition,
  { engine, cases, windows }: Calibration,
): { effort: Effort; windows: number } {
  const at = section.stages.findIndex(({ kind }) => kind === 'infer')
  if (at < 0) {
    const { batch, patchesPerCase } = standingOf(stages)
    if (!engine.step || batch === undefined) return { effort: noEffort, windows: 0 }
    return { effort: times(engine.step.effort, (section.cases.length * patchesPerCase) / batch), windows: 0 }
  }
  const shrink = cases.get(section.name)?.shrink ?? [1, 1, 1]
  const around = windows.get(section.name)
  let count = 0
  const effort = total(section.cases, ({ plans }) => {
    const { windows: shown, volumes } = plans[at]!
    const image = plans[at - 1]!.volumes.image!
    const n = shown!.count * (image.isExact ? 1 : shrunk(shown!.count, shrink))
    const seen = voxelsOf(image.grid.shape) * (image.isExact ? 1 : shrink[0] * shrink[1] * shrink[2])
    count += n
    const ratio = engine.window ? voxelsOf(shown!.shape) / voxelsOf(engine.window.shape) : 0
    return plus(
      times(engine.window?.effort ?? noEffort, n * ratio),
      times(around?.window ?? noEffort, n),
      times(around?.voxel ?? noEffort, seen),
      times(plus(around?.back ?? noEffort, around?.after ?? noEffort), voxelsOf(volumes.prediction!.grid.shape)),
    )
  })
  return { effort, windows: Math.round(count) }
}

function planEpoch(
  definition: Definition,
  section: PlannedSection,
  memory: MemoryPlan,
  calibration: Calibration,
): TimePlan['epoch'] {
  const { stages, random } = definition
  const { cases, cores } = calibration
  const { batch = 1, patchesPerCase } = standingOf(stages)
  const patches = section.cases.length * patchesPerCase
  const network = computingOf(section, definition, calibration).effort
  const parallel = parallelOf(section, random)
  const speeds = cases.get(section.name)
  const making = total(section.cases, found => makingOf(found, speeds))
  const again = times(speeds?.again ?? noEffort, section.cases.length)
  const misses = missRate(memory)
  const later = plus(times(making, misses), times(again, 1 - misses))
  // Before the first step a batch must be there.
  const start = Math.ceil(batch / patchesPerCase) / Math.max(1, section.cases.length)
  return {
    steps: Math.ceil(patches / batch),
    firstSeconds: sideBySide(network, making, parallel, cores, start),
    laterSeconds: sideBySide(network, later, parallel, cores, start),
    networkSeconds: network.wall,
    firstLoadingSeconds: sideBySide(noEffort, making, parallel, cores, 0),
    laterLoadingSeconds: sideBySide(noEffort, later, parallel, cores, 0),
  }
}

function planPass(
  section: PlannedSection,
  definition: Definition,
  memory: MemoryPlan,
  calibration: Calibration,
): { windows: number; firstSeconds: number; laterSeconds: number } | undefined {
  const { random } = definition
  const { engine, cases, cores } = calibration
  if (section.stages.some(({ kind }) => kind === 'infer') && !engine.window) return undefined
  const speeds = cases.get(section.name)
  const { effort: computing, windows } = computingOf(section, definition, calibration)
  const making = total(section.cases, found => makingOf(found, speeds))
  const parallel = parallelOf(section, random)
  const start = 1 / Math.max(1, section.cases.length)
  // Once made, what the cache holds costs little; what it does not is made anew.
  const holdsAll = memory.cache !== null && memory.cache.holds >= memory.cache.cases
  const again = holdsAll || onDisk(memory) ? times(speeds?.again ?? noEffort, section.cases.length) : making
  return {
    windows,
    firstSeconds: sideBySide(computing, making, parallel, cores, start),
    laterSeconds: sideBySide(computing, again, parallel, cores, start),
  }
}

/** About how many windows are left of so many where extents are smaller: they go with the volume, and one stays. */
function shrunk(count: number, shrink: Shrink): number {
  return Math.max(1 / count, shrink[0] * shrink[1] * shrink[2])
}

/** Share of the training cases that an epoch after the first makes anew. */
function missRate(memory: MemoryPlan): number {
  if (!memory.cache) return 1
  return onDisk(memory) ? 0 : 1 - memory.cache.hitRate
}

function onDisk({ cache }: MemoryPlan): boolean {
  return cache?.policy === 'disk' || cache?.policy === 'both'
}

function makingOf(planned: PlannedCase, speeds: CaseSpeeds | undefined): Effort {
  if (planned.isOnDisk) return speeds?.again ?? noEffort
  return times(speeds?.making ?? noEffort, inflatedBytes(planned))
}

/**
 * Seconds that two works take side by side: as long as the longer one, as the main thread is busy with both, and as all
 * processors have for both; and before the one can start, `start` of the other.
 */
export function sideBySide(computing: Effort, loading: Effort, parallel: number, cores: number, start: number): number {
  const both = Math.max(
    computing.wall,
    loading.wall / parallel,
    computing.main + loading.main,
    (computing.cpu + loading.cpu) / cores,
  )
  return both + (start * loading.wall) / parallel
}

/** Cases being loaded at a time. */
function parallelOf({ stages }: PlannedSection, random: Definition['random']): number {
  const loading = transformsOf(stages, random).filter(({ kind }) => ['cache', 'crop-foreground', 'crop'].includes(kind))
  const cache = loading.find(({ wraps }) => wraps)
  return cache?.parallel ?? Math.max(1, ...loading.map(({ parallel }) => parallel))
}

function total(cases: readonly PlannedCase[], effort: (planned: PlannedCase) => Effort): Effort {
  return plus(...cases.map(effort))
}

function voxelsOf([x, y, z]: readonly number[]): number {
  return x! * y! * z!
}
