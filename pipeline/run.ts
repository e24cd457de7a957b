/** One run: data set, folder, engine, task, summary. Owns what it opens and closes it whatever happens. */

import { readWeights } from '../stages/index.ts'
import { formatBytes, parseBytes } from './bytes.ts'
import { stageTimes } from './bottleneck.ts'
import { contextOf } from './context.ts'
import { checkFiles, type Definition, type NetworkOptions } from './definition.ts'
import { codeOf, messageOf, PipelineError } from './errors.ts'
import { definitionHash, modelHash } from './hashes.ts'
import { openHealthCheck } from './health-check.ts'
import { jsonReady } from './json.ts'
import { openLedger, type RunLedger } from './ledger.ts'
import { refuseHeld } from './lock.ts'
import { Meter } from './meter.ts'
import { openCases } from './open-cases.ts'
import { cacheLine, describe, keptLine, missedLine, resumeLine } from './outcome.ts'
import type { Progress } from './progress.ts'
import { reservesOf } from './reserves.ts'
import { openRunFolder, type RunFolder } from './run-folder.ts'
import type { Making } from './resume.ts'
import type { Shard } from './shard.ts'
import type { Engine } from './engine.ts'
import { engineText } from './engine-text.ts'
import { wantedText } from './gpu-plan.ts'
import { openFittingEngine, type OpenedEngine } from './open-engine.ts'
import { Schedule } from './schedule.ts'
import { openStatus } from './status.ts'
import { exitCodes, peakRss, type RunResult, type Status } from './summary.ts'
import { checkViewer, evaluate } from './tasks/evaluate.ts'
import { infer } from './tasks/infer.ts'
import { CaseBook, type Job } from './tasks/task.ts'
import { train } from './tasks/train.ts'
import { version } from './version.ts'
import { openWatchdog } from './watchdog.ts'

const tasks = { train, infer, evaluate }

export interface RunOptions {
  readonly progress: Progress
  /** Aborted to end the run after the current step; `reason` is the signal's name. */
  readonly signal?: AbortSignal
  /** For `infer`: computes a part of the cases. */
  readonly shard?: Shard
  /** For `infer`: what an earlier run has done is not done again. */
  readonly resume?: boolean
}

type Ended = RunResult & { lines: readonly string[] }

/** Runs a definition to its end. Never rejects for what a user can cause: the result says what happened. */
export async function run(definition: Definition, options: RunOptions): Promise<Ended> {
  const { progress } = options
  const healthCheck = openHealthCheck(definition.healthCheck, progress.note)
  try {
    const ended = await runHeld(definition, options, healthCheck.start)
    // Who is locked out says nothing of the run that goes on.
    const words = ended.error === undefined ? ended.lines : [ended.error, ...ended.lines]
    if (ended.status !== 'locked') await healthCheck.end(ended.exitCode, words)
    return ended
  } catch (error) {
    await healthCheck.end(1, [`internal error: ${messageOf(error)}`])
    throw error
  } finally {
    progress.close()
  }
}

/** The same; `begun` is called as soon as the run has the output folder. */
async function runHeld(
  definition: Definition,
  { progress, signal = new AbortController().signal, shard, resume = false }: RunOptions,
  begun: () => void,
): Promise<Ended> {
  const started = performance.now()
  const seconds = (): number => (performance.now() - started) / 1000
  const book = new CaseBook(definition.onError === 'stop', failure =>
    progress.note(`failed: ${failure.case}: ${failure.reason}`),
  )
  let folder: RunFolder | undefined
  let engine: OpenedEngine['engine'] | undefined
  let gpuPlan: OpenedEngine['gpuPlan']
  let ledger: RunLedger | undefined
  const meter = new Meter()
  const watchers: { close(): void }[] = []
  const result = (status: Status, exitCode: number, rest: Partial<RunResult> = {}): RunResult => ({
    status,
    exitCode,
    task: definition.task,
    output: definition.output,
    seconds: seconds(),
    peakRssBytes: peakRss(),
    cases: book.counts,
    metrics: {},
    engine: engine
      ? { backend: engine.info.backend, precision: engine.info.precision, threads: engine.info.threads }
      : null,
    failures: book.failures,
    ...rest,
  })
  try {
    checkFiles(definition)
    // Who is locked out need not wait for what follows. The lock itself comes after it: what is refused leaves no folder.
    refuseHeld(definition.output, shard)
    // First what is refused at once: a data set may take long to make.
    if (definition.network) ({ engine, gpuPlan } = await openFittingEngine(definition))
    const memoryBytes = parseBytes(definition.memory)
    ledger = openLedger(memoryBytes)
    signal.addEventListener('abort', () => ledger?.close())
    for (const { what, bytes, cure } of await reservesOf(definition, engine)) ledger.reserve(what, bytes, cure)
    const dataSet = await openCases(definition)
    if (definition.task === 'evaluate') checkViewer(definition, dataSet)
    const making = await makingOf(definition, engine?.info.backend)
    const isBatch = definition.task === 'infer'
    folder = openRunFolder(definition.output, {
      direct: isBatch,
      ...(shard && { shard }),
      ...(isBatch && { making: `${making.definition} ${making.model}` }),
    })
    begun()
    if (engine && definition.network?.weights !== undefined)
      await loadWeights(engine, definition.network.weights, definition.network)
    announce(definition, engine, gpuPlan, memoryBytes, dataSet.name, progress)
    const counts = new Map<string, number>()
    const schedule = new Schedule()
    const atEnd = (close: () => void): void => void watchers.push({ close })
    const lent = { ledger, schedule, folder, engine, model: making.model, signal, counts, progress, atEnd }
    const context = contextOf(definition, lent)
    // Whoever knows the URL can send in our name.
    const { healthCheck: _, ...shown } = definition
    folder.writeJson('definition.json', shown)
    watchers.push(openWatchdog(meter, ledger, progress.note), openStatus(meter, progress.status))
    const job: Job = {
      definition,
      dataSet,
      context,
      schedule,
      meter,
      folder,
      progress,
      signal,
      cases: book,
      making,
      seconds,
      ...(isBatch && { batch: { resume, ...(shard && { shard }) } }),
    }
    const outcome = await tasks[definition.task](job)
    if (signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
    // A batch is good for something without a single mask too: it says what is wrong with each scan.
    const isVain = book.counts.ok === 0 && !isBatch
    const missed = missedLine(outcome.gates)
    const ending = book.counts.failed === 0 ? 'ok' : isVain ? 'failed' : 'partial'
    const status: Status = missed === undefined ? ending : 'gate'
    const summary = result(status, exitCodes[status], {
      metrics: jsonReady(outcome.metrics),
      ...(outcome.gates && outcome.gates.length > 0 && { gates: outcome.gates }),
      ...(outcome.report !== undefined && { report: outcome.report }),
      ...(missed !== undefined && { error: missed }),
    })
    const times = stageTimes(meter)
    progress.stages(times.values, '')
    const lines = describe(summary, outcome, [cacheLine(counts), times.text], engine)
    folder.writeJson('run.json', {
      ...facts(engine),
      memory: ledger.report(),
      ...(engine && gpuPlan && { gpuMemory: { ...gpuPlan, peakBytes: (await engine.report()).peakDeviceBytes } }),
      ...making,
      seed: definition.seed,
      dataset: dataSet.name,
      counts: Object.fromEntries(counts),
      stages: times.values.stages,
      peakRssBytes: summary.peakRssBytes,
    })
    folder.writeJson('summary.json', summary)
    folder.writeText('summary.txt', `${lines.join('\n')}\n`)
    if (status === 'failed') {
      const kept = folder.abandon()
      folder = undefined
      return { ...summary, error: 'no case could be used', lines: [...lines, ...keptLine(kept)] }
    }
    folder.checkWay()
    const trouble = await outcome.publish?.()
    const last = trouble === undefined ? { ...summary, lines } : withTrouble({ ...summary, lines }, trouble)
    if (trouble !== undefined) rewriteSummary(folder, last)
    folder.publish()
    folder = undefined
    return last
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    const refused = folder === undefined && ['ERR_DEFINITION', 'ERR_DATASET'].includes(code)
    const kept = folder?.abandon()
    folder = undefined
    const status =
      code === 'ERR_INTERRUPTED' ? 'interrupted' : code === 'ERR_LOCKED' ? 'locked' : refused ? 'refused' : 'failed'
    const exitCode = status === 'interrupted' ? (signal.reason === 'SIGINT' ? 130 : 143) : exitCodes[status]
    return {
      ...result(status, exitCode, { error: messageOf(error), ...(kept !== undefined && { kept }) }),
      lines: [...keptLine(kept), ...resumeLine(definition, book, kept)],
    }
  } finally {
    for (const watcher of watchers) watcher.close()
    ledger?.close()
    await engine?.close()
    folder?.abandon()
  }
}

/** A gate that was missed stays the outcome, and both are told. */
function withTrouble(ended: Ended, trouble: string): Ended {
  const status = ended.status === 'gate' ? 'gate' : 'failed'
  const error = ended.error === undefined ? trouble : `${ended.error}\n${trouble}`
  return { ...ended, status, exitCode: exitCodes[status], error, lines: [...ended.lines, trouble] }
}

/** On a disk that is full by now, the summary from before the trouble stays. */
function rewriteSummary(folder: RunFolder, { lines, ...summary }: Ended): void {
  try {
    folder.writeJson('summary.json', summary)
    folder.writeText('summary.txt', `${lines.join('\n')}\n`)
  } catch (error) {
    if (codeOf(error) !== 'ERR_OUTPUT') throw error
  }
}

/** What does not fit says of which file. */
async function loadWeights(engine: Engine, path: string, network: NetworkOptions): Promise<void> {
  try {
    await engine.load(await readWeights(path, network))
  } catch (error) {
    if (codeOf(error) !== 'ERR_WEIGHTS' || messageOf(error).includes(path)) throw error
    throw new PipelineError('ERR_WEIGHTS', `${path}: ${messageOf(error)}`, { path }, { cause: error })
  }
}

async function makingOf(definition: Definition, backend: string | undefined): Promise<Making> {
  const weights = definition.network?.weights
  return {
    definition: definitionHash(definition, backend),
    model: weights === undefined ? null : await modelHash(weights),
  }
}

function announce(
  definition: Definition,
  engine: Engine | undefined,
  gpuPlan: OpenedEngine['gpuPlan'],
  memoryBytes: number,
  dataSet: string,
  progress: Progress,
): void {
  progress.note(`${definition.task}: ${dataSet}`)
  if (engine) {
    const { reason, parameters } = engine.info
    progress.note(`engine: ${engineText(engine.info)} (${reason}); ${parameters.toLocaleString('en')} parameters`)
  }
  if (gpuPlan) {
    const limit = gpuPlan.limitBytes === null ? 'what the GPU has' : formatBytes(gpuPlan.limitBytes)
    progress.note(`GPU memory: ${limit}; wanted ${wantedText(gpuPlan)}`)
  }
  progress.note(`memory: ${formatBytes(memoryBytes)}; seed: ${definition.seed}; output: ${definition.output}`)
}

/** Versions and the machine, for `run.json`. */
function facts(engine: Engine | undefined): Record<string, unknown> {
  return {
    ctflow: version(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    engine: engine?.info ?? null,
    ended: new Date().toISOString(),
  }
}
