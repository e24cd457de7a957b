/** `train`: epochs of steps, validation on whole volumes, the best weights kept, a last look at the held-out cases. */

import {
  distributions,
  learningRateAt,
  readWeights,
  writeCheckpoint,
  type Distribution,
  type TrainOptions,
} from '../../stages/index.ts'
import { stageTimes } from '../bottleneck.ts'
import { buildStage, compose, deterministicPrefix, drain } from '../compose.ts'
import type { StageOptions } from '../definition.ts'
import { codeOf, PipelineError } from '../errors.ts'
import { needsOf } from '../needs.ts'
import { validationStages } from '../plan.ts'
import { caseOrder } from '../random-mode.ts'
import type { Pass } from '../schedule.ts'
import type { StepResult } from '../engine.ts'
import type { Case, Item, Score } from '../flow.ts'
import type { Transform } from '../stage.ts'
import type { Failure } from '../summary.ts'
import { join } from 'node:path'
import { table } from './evaluate.ts'
import { figure, sampleOf, type Job, type TaskResult, type Way } from './task.ts'
import { trainingPictures, writeTrainingPage, type TrainingLog } from './training-page.ts'

interface Best {
  readonly epoch: number
  readonly dice: number
}

export async function train(job: Job): Promise<TaskResult> {
  const { definition, context, meter } = job
  const options = definition.stages.at(-1) as unknown as TrainOptions
  const flows = compose(definition.stages, context, meter)
  announceRandom(job)
  const facts = { classes: context.engine().info.classes }
  const way: Way = { flow: flows.at(-1)!, need: needsOf(definition.stages, facts) }
  const validation: Way = {
    flow: validationFlow(definition.stages, deterministicPrefix(definition.stages, flows), job),
    need: needsOf(validationStages(definition.stages, facts.classes), facts),
  }
  let best: Best | undefined
  const log: TrainingLog = { epochs: [], validated: [] }
  try {
    best = await runEpochs(job, options, way, validation, log)
  } catch (error) {
    // Whatever ended it, a signal, a full disk or a bug: what was learned so far is worth hours.
    await save(job, 'last.safetensors', { interrupted: true }).catch(() => {})
    if (codeOf(error) !== 'ERR_INTERRUPTED') throw error
    throw new PipelineError('ERR_INTERRUPTED', 'interrupted; the weights after the last whole step are saved')
  }
  const pictures = await trainingPictures(job, log)
  const result = await finish(job, options, validation, best)
  if (!job.signal.aborted) await writeTrainingPage(job, { epochs: log.epochs, pictures, ...(best && { best }) })
  return result
}

/** Whoever replays a MONAI run can compare this line with his Compose. */
function announceRandom({ definition: { seed }, context: { random }, progress }: Job): void {
  if (random.mode === 'numpy')
    progress.note(`random: numpy, as MONAI's Compose([${random.transforms.join(', ')}]).set_random_state(${seed})`)
}

async function runEpochs(
  job: Job,
  options: TrainOptions,
  way: Way,
  validation: Way,
  log: TrainingLog,
): Promise<Best | undefined> {
  const { dataSet, context, schedule, meter, folder, progress, signal, cases } = job
  const training = dataSet.section('training')
  let best: Best | undefined
  const started = performance.now()
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    const learningRate = learningRateAt(options, epoch)
    await context.engine().setLearningRate(learningRate)
    const usable = cases.usable(training)
    if (usable.length === 0)
      throw new PipelineError('ERR_DATASET', `no training case could be used${firstOf(cases.failures)}`)
    const [pass, ...later] = passesFrom(job, options, epoch)
    schedule.begin(pass!, later)
    const before = meter.snapshot()
    const steps = await runEpoch(job, way, usable, `epoch ${epoch + 1}/${options.epochs}`, epoch)
    const times = stageTimes(meter, before)
    stopIfInterrupted(signal)
    if (steps.length === 0)
      throw new PipelineError('ERR_DATASET', `epoch ${epoch + 1}: no case gave a patch${firstOf(cases.failures)}`)
    const told = { epoch: epoch + 1, learningRate, ...summarise(steps) }
    const record: Record<string, unknown> = { ...told }
    let text = `epoch ${String(epoch + 1).padStart(String(options.epochs).length)}/${options.epochs}  loss ${told.loss.toFixed(4)}  ${told.patchesPerSecond.toFixed(1)} patches/s`
    await save(job, 'last.safetensors', { epoch: epoch + 1 })
    let dice: number | null = null
    if (isValidated(job, options, epoch)) {
      schedule.begin(later[0]!, later.slice(1))
      log.validated = await scoreSection(job, validation, 'validation', epoch)
      const metrics = distributions(log.validated)
      // Half of the cases say nothing about which weights are best.
      stopIfInterrupted(signal)
      dice = keyMetric(metrics)
      record['validation'] = metrics
      text += `  validation Dice ${figure(dice)}`
      // As MONAI compares its key metric: rounded to four decimals, and only strictly better replaces.
      if (dice !== null && (!best || Math.round(dice * 1e4) > Math.round(best.dice * 1e4))) {
        best = { epoch: epoch + 1, dice }
        await save(job, 'best.safetensors', best)
        text += ' (best)'
      }
    }
    log.epochs.push({ ...told, ...(dice !== null && { dice }) })
    record['seconds'] = (performance.now() - started) / 1000
    folder.appendLine('metrics.jsonl', record)
    progress.event('epoch', record, text)
    progress.stages({ epoch: epoch + 1, ...times.values }, times.text)
  }
  if (!best) await save(job, 'best.safetensors', { epoch: options.epochs })
  return best
}

/** Whether the validation cases pass after this epoch. */
function isValidated({ dataSet }: Job, { epochs, validate: { every } }: TrainOptions, epoch: number): boolean {
  const due = every > 0 && ((epoch + 1) % every === 0 || epoch + 1 === epochs)
  return due && dataSet.section('validation').length > 0
}

/** What passes from this epoch on: it, the next one, and the validation cases where they come. */
function passesFrom(job: Job, options: TrainOptions, epoch: number): Pass[] {
  const { definition, dataSet, cases } = job
  const idsOf = (section: string): string[] => cases.usable(dataSet.section(section)).map(({ id }) => id)
  const training = idsOf('training')
  const validation: Pass = { ids: idsOf('validation') }
  const trainingPass = (e: number): Pass => ({
    ids: caseOrder(definition.random, training.length, definition.seed, e).map(i => training[i]!),
  })
  const isLast = epoch + 1 === options.epochs
  return [
    trainingPass(epoch),
    ...(isValidated(job, options, epoch) ? [validation] : []),
    ...(isLast ? [] : [trainingPass(epoch + 1)]),
    // In some epochs' time, but after these.
    ...(isLast || options.validate.every === 0 ? [] : [validation]),
  ]
}

/** The list of failed cases may not have been shown, as with `--progress none`. */
function firstOf([first, ...others]: readonly Failure[]): string {
  if (!first) return ''
  return `; ${others.length > 0 ? `the first of ${others.length + 1} that failed` : 'one failed'}: ${first.case}: ${first.reason}`
}

function stopIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
}

/** One pass over the cases in this epoch's order. */
async function runEpoch(
  { definition, progress, signal, cases, folder }: Job,
  { flow, need }: Way,
  usable: readonly Case[],
  name: string,
  epoch: number,
): Promise<StepResult[]> {
  const steps: StepResult[] = []
  const ids = new Set<string>()
  progress.begin(name, usable.length)
  const order = caseOrder(definition.random, usable.length, definition.seed, epoch)
  const inputs = order.map(i => sampleOf(usable[i]!, epoch, need))
  const sink = {
    item(item: Item) {
      const step = item as StepResult
      steps.push(step)
      for (const id of step.cases) {
        ids.add(id)
        cases.succeed(id)
      }
      folder.appendLine('steps.jsonl', {
        epoch: epoch + 1,
        step: steps.length,
        loss: step.loss,
        patches: step.patches,
        seconds: step.seconds,
      })
      progress.advance(ids.size, `loss ${step.loss.toFixed(4)}`)
    },
    caseFailed: cases.fail,
  }
  try {
    await drain(inputs, flow, sink, signal)
  } catch (error) {
    // A signal ends the epoch between two steps; what was learned is kept.
    if (!signal.aborted) throw error
  }
  return steps
}

function summarise(steps: readonly StepResult[]): {
  loss: number
  steps: number
  patches: number
  patchesPerSecond: number
  engineSeconds: number
} {
  const patches = steps.reduce((sum, step) => sum + step.patches, 0)
  const engineSeconds = steps.reduce((sum, step) => sum + step.seconds, 0)
  const loss = steps.reduce((sum, step) => sum + step.loss * step.patches, 0) / patches
  return { loss, steps: steps.length, patches, engineSeconds, patchesPerSecond: patches / engineSeconds }
}

/** Whole volumes through the deterministic stages of the definition, then windows and Dice on the same grid. */
function validationFlow(stages: readonly StageOptions[], prefix: Transform, { context, meter }: Job): Transform {
  const before = { flow: prefix, stages: [] }
  const [infer, dice] = validationStages(stages, context.engine().info.classes)
    .slice(-2)
    .map(options => buildStage(options, context, before, meter))
  return source => dice!(infer!(prefix(source)))
}

async function scoreSection(
  { dataSet, cases, progress, signal }: Job,
  { flow, need }: Way,
  section: string,
  epoch: number,
): Promise<Score[]> {
  const scores: Score[] = []
  const usable = cases.usable(dataSet.section(section))
  progress.begin(section, usable.length)
  const sink = {
    item(item: Item) {
      scores.push(item as Score)
      cases.succeed((item as Score).case.id)
      progress.advance(scores.length)
    },
    caseFailed: cases.fail,
  }
  await drain(
    usable.map(found => sampleOf(found, epoch, need)),
    flow,
    sink,
    signal,
  )
  return scores
}

function keyMetric(metrics: Record<string, Distribution>): number | null {
  return metrics['dice']?.mean ?? null
}

async function save({ folder, context, definition }: Job, name: string, facts: object): Promise<void> {
  const withState = name.startsWith('last')
  const tensors = await context.engine().save({ optimizer: withState })
  // Where the run's own weights began is a path of this machine, and no matter to who reads the file.
  const { weights: _, ...network } = definition.network!
  const { optimizer } = definition.stages.at(-1) as unknown as TrainOptions
  await writeCheckpoint(join(folder.staging, name), tensors, {
    network,
    ...(withState && { optimizer }),
    seed: definition.seed,
    ...facts,
  })
}

/** The best weights on the held-out cases, beside what a trivial method reaches there. */
async function finish(job: Job, options: TrainOptions, validation: Way, best: Best | undefined): Promise<TaskResult> {
  const { context, dataSet, schedule, folder, progress } = job
  const lines: string[] = best
    ? [`best validation Dice ${figure(best.dice)} after epoch ${best.epoch}`]
    : ['not validated: the data set has no usable validation cases, or "validate.every" is 0']
  const extra = best ? { bestValidation: best } : {}
  if (!options.validate.test || dataSet.section('testing').length === 0) return { metrics: extra, lines }
  await context.engine().load(await readWeights(join(folder.staging, 'best.safetensors')))
  schedule.begin({ ids: dataSet.section('testing').map(({ id }) => id) }, [])
  const metrics = distributions(await scoreSection(job, validation, 'testing', options.epochs))
  const dice = metrics['dice']
  lines.push(`held-out Dice ${figure(dice?.mean)} over ${dice?.cases ?? 0} cases`, ...table(metrics))
  const baseline = await dataSet.baseline?.('testing')
  if (baseline) lines.push(`for comparison, ${baseline.name}: Dice ${figure(baseline.dice)}`)
  progress.event('test', metrics, `held-out Dice ${figure(dice?.mean)}`)
  return { metrics: { ...metrics, ...extra, ...(baseline && { baseline }) }, lines }
}
