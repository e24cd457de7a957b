/**
 * What a definition will do, told without running it: from headers, from a calibration of some seconds, and from what the
 * stages say of themselves. `validate` is the part of it for which no data is read.
 */

import { processors, readWeights } from '../stages/index.ts'
import { parseBytes } from './bytes.ts'
import type { DataSet } from './data-set.ts'
import { checkFiles, type Definition } from './definition.ts'
import { timeEngine } from './explain/calibrate-engine.ts'
import { timeCases } from './explain/calibrate-cases.ts'
import { timeWindows, type WindowSpeeds } from './explain/calibrate-windows.ts'
import type { CaseSpeeds } from './explain/calibrate-cases.ts'
import { planSections, stagesOfSections, type PlannedSection } from './explain/cases.ts'
import { lookAtLabels, type LabelLook } from './explain/labels.ts'
import { planMemory, type MemoryPlan } from './explain/memory.ts'
import { describeSection, type SectionReport } from './explain/sections.ts'
import { measuredOf, planTime, type Calibration, type TimePlan } from './explain/time.ts'
import { transformsOf, type StageTransform } from './explain/transforms.ts'
import { warningsOf, type Warning } from './explain/warnings.ts'
import { openLedger } from './ledger.ts'
import { openCases } from './open-cases.ts'
import { engineWorkOf } from './plan.ts'
import { reservesOf, type Reserve } from './reserves.ts'
import type { Engine, EngineInfo, EngineWork } from './engine.ts'
import { checkGpuPlan, planGpu, type GpuPlan } from './gpu-plan.ts'
import { openFittingEngine, type OpenedEngine } from './open-engine.ts'
import type { Failure } from './summary.ts'
import { version } from './version.ts'

/** What is known of a definition without its data. */
export interface Outline {
  readonly ctflow: string
  readonly task: Definition['task']
  readonly seed: number
  readonly output: string
  readonly engine: EngineInfo | null
  readonly limitBytes: number
  /** What the run takes before any case. */
  readonly reserves: readonly Reserve[]
  /** null where no GPU computes. */
  readonly gpuMemory: GpuPlan | null
  /** The stages that each section's cases pass. */
  readonly flows: readonly { readonly section: string; readonly stages: readonly StageTransform[] }[]
}

export interface Explanation extends Outline {
  readonly dataset: string
  readonly sections: readonly SectionReport[]
  readonly memory: MemoryPlan
  /** null where nothing could be measured. */
  readonly time: (TimePlan & { readonly calibration: CalibrationReport }) | null
  readonly labels: Pick<LabelLook, 'looked'> | null
  readonly warnings: readonly Warning[]
  /** Cases that will fail, as far as was looked. */
  readonly failures: readonly Failure[]
}

/** What was measured, as data. */
export interface CalibrationReport extends Pick<Calibration, 'seconds' | 'cores' | 'engine'> {
  readonly cases: Readonly<Record<string, CaseSpeeds>>
  readonly windows: Readonly<Record<string, WindowSpeeds>>
}

export interface ExplainOptions {
  /** Reads every label, however long that takes; else some of them, for a second. */
  readonly labels?: boolean
  /** Told now and then what is being done, for who waits. */
  readonly progress?: (text: string) => void
  /** Seconds to spend on the network, on loading cases, on looking at labels. */
  readonly budgets?: { readonly engine: number; readonly cases: number; readonly labels: number }
}

const usualBudgets = { engine: 1.2, cases: 1, labels: 1 }

/**
 * Checks a definition as far as no data is read. Throws ERR_DEFINITION, ERR_DATASET, ERR_WEIGHTS or ERR_ENGINE for what a run
 * would refuse at once.
 */
export async function validate(definition: Definition): Promise<Outline> {
  checkFiles(definition)
  // Phantoms are made on first use: no list to look at yet.
  if (definition.dataset.phantoms === undefined) await openCases(definition)
  return withEngine(definition, opened => outline(definition, opened))
}

/** Plans a run. Throws as `validate` does; what only some cases suffer is in the result. */
export async function explain(definition: Definition, options: ExplainOptions = {}): Promise<Explanation> {
  checkFiles(definition)
  const { progress = () => {} } = options
  return withEngine(definition, async opened => {
    const known = await outline(definition, opened)
    const dataSet = await openCases(definition)
    return explainWith(definition, opened?.engine, known, dataSet, { ...options, progress })
  })
}

async function withEngine<T>(
  definition: Definition,
  work: (opened: OpenedEngine | undefined) => Promise<T>,
): Promise<T> {
  const { network } = definition
  const opened = network && (await openFittingEngine(definition))
  const engine = opened?.engine
  try {
    if (engine && network?.weights !== undefined) await engine.load(await readWeights(network.weights, network))
    return await work(opened)
  } finally {
    await engine?.close()
  }
}

/** ERR_DEFINITION where the run's memory does not hold what it takes before any case. */
async function outline(definition: Definition, { engine, gpuPlan }: Partial<OpenedEngine> = {}): Promise<Outline> {
  const limitBytes = parseBytes(definition.memory)
  const reserves = await reservesOf(definition, engine)
  const ledger = openLedger(limitBytes)
  for (const { what, bytes, cure } of reserves) ledger.reserve(what, bytes, cure)
  return {
    ctflow: version(),
    task: definition.task,
    seed: definition.seed,
    output: definition.output,
    engine: engine?.info ?? null,
    limitBytes,
    reserves,
    gpuMemory: gpuPlan ?? null,
    flows: stagesOfSections(definition, engine?.info.classes ?? 0).map(({ name, stages }) => ({
      section: name,
      stages: transformsOf(stages, definition.random),
    })),
  }
}

async function explainWith(
  definition: Definition,
  engine: Engine | undefined,
  known: Outline,
  dataSet: DataSet,
  { labels, progress, budgets = usualBudgets }: ExplainOptions & { readonly progress: (text: string) => void },
): Promise<Explanation> {
  const classes = engine?.info.classes ?? 0
  const counted =
    (what: string) =>
    (done: number, total: number): void =>
      progress(`${what}: ${done} of ${total}`)
  const sections = await planSections(definition, dataSet, { classes }, counted('headers'))
  // What no case will ever be granted is not done here either: it would take this machine's memory, and for ever.
  const roomBytes = known.limitBytes - known.reserves.reduce((sum, { bytes }) => sum + bytes, 0)
  const usable = sections.map(section => ({
    ...section,
    cases: section.cases.filter(({ need }) => need.bytes <= roomBytes),
  }))
  const work = workOf(definition, usable)
  const gpuPlan = engine && (await planGpu(engine, work))
  if (gpuPlan) checkGpuPlan(gpuPlan)
  progress('calibrating')
  const calibration = await calibrate(definition, engine, work, usable, budgets)
  const measured = new Map(usable.map(section => [section.name, measuredOf(section, definition, calibration)]))
  const memory = planMemory(definition, sections, await reservesOf(definition, engine, work), measured)
  const look = await lookAtLabels(definition, usable, labels ? Infinity : budgets.labels, counted('labels'))
  const time = planTime(definition, usable, memory, calibration)
  return {
    ...known,
    gpuMemory: gpuPlan ?? null,
    dataset: dataSet.name,
    sections: sections.map((section, i) => describeSection(section, known.flows[i]!.stages)),
    memory,
    time: time ? { ...time, calibration: reportOf(calibration) } : null,
    labels: look.looked > 0 ? { looked: look.looked } : null,
    warnings: warningsOf(sections, memory, look),
    failures: [...sections.flatMap(({ failures }) => failures), ...look.failures],
  }
}

/** What the network will be asked, with the windows that are as large as images. */
function workOf(definition: Definition, sections: readonly PlannedSection[]): EngineWork {
  const work = engineWorkOf(definition)
  const shapes = sections.flatMap(({ cases }) =>
    cases.flatMap(({ plans }) => plans.flatMap(({ windows }) => (windows ? [windows.shape] : []))),
  )
  const distinct = new Map([...work.windows, ...shapes].map(shape => [shape.join(), shape]))
  return { ...work, windows: [...distinct.values()] }
}

async function calibrate(
  definition: Definition,
  engine: Engine | undefined,
  work: EngineWork,
  sections: readonly PlannedSection[],
  budgets: { readonly engine: number; readonly cases: number },
): Promise<Calibration> {
  const started = performance.now()
  const classes = engine?.info.classes ?? 0
  const cases = new Map<string, CaseSpeeds>()
  const windows = new Map<string, WindowSpeeds>()
  for (const section of sections) {
    const speeds = await timeCases(definition, section, classes, budgets.cases / sections.length)
    if (speeds) cases.set(section.name, speeds)
    const around = await timeWindows(section, classes)
    if (around) windows.set(section.name, around)
  }
  const speeds = engine ? await timeEngine(engine, work, budgets.engine) : {}
  return { seconds: (performance.now() - started) / 1000, cores: processors(), engine: speeds, cases, windows }
}

function reportOf({ seconds, cores, engine, cases, windows }: Calibration): CalibrationReport {
  return { seconds, cores, engine, cases: Object.fromEntries(cases), windows: Object.fromEntries(windows) }
}
