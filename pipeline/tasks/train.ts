/** `train`: epochs of steps, validation on whole volumes, the best weights kept, a last look at the held-out cases. */

import { learningRateAt, readWeights, writeCheckpoint, type TrainOptions } from '../../stages/index.ts'
import { stageTimes } from '../bottleneck.ts'
import { buildStage, compose, deterministicPrefix, drain } from '../compose.ts'
import { codeOf, PipelineError } from '../errors.ts'
import { caseOrder } from '../random-mode.ts'
import type { Case, Item, Score, StepResult, Transform } from '../stage.ts'
import { distributions, type Distribution } from '../summary.ts'
import { join } from 'node:path'
import { table } from './evaluate.ts'
import { figure, sampleOf, type Job, type TaskResult } from './task.ts'

interface Best {
  readonly epoch: number
  readonly dice: number
}

export async function train(job: Job): Promise<TaskResult> {
  const { definition, context, meter } = job
  const options = definition.stages.at(-1) as unknown as TrainOptions
  const flows = compose(definition.stages, context, meter)
  announceRandom(job)
  const validation = validationFlow(options, deterministicPrefix(definition.stages, flows), job)
  let best: Best | undefined
  try {
    best = await runEpochs(job, options, flows.at(-1)!, validation)
  } catch (error) {
    // Whatever ended it, a signal, a full disk or a bug: what was learned so far is worth hours.
    await save(job, 'last.safetensors', { interrupted: true }).catch(() => {})
    if (codeOf(error) !== 'ERR_INTERRUPTED') throw error
    throw new PipelineError('ERR_INTERRUPTED', 'interrupted; the weights after the last whole step are saved')
  }
  return finish(job, options, validation, best)
}

/** Whoever replays a MONAI run can compare this line with his Compose. */
function announceRandom({ definition: { seed }, context: { random }, progress }: Job): void {
  if (random.mode === 'numpy')
    progress.note(`random: numpy, as MONAI's Compose([${random.transforms.join(', ')}]).set_random_state(${seed})`)
}

async function runEpochs(
  job: Job,
  options: TrainOptions,
  flow: Transform,
  validation: Transform,
): Promise<Best | undefined> {
  const { dataSet, context, meter, folder, progress, signal, cases } = job
  const training = dataSet.section('training')
  let best: Best | undefined
  const started = performance.now()
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    const learningRate = learningRateAt(options, epoch)
    await context.engine().setLearningRate(learningRate)
    const usable = cases.usable(training)
    if (usable.length === 0)
      throw new PipelineError('ERR_DATASET', 'no training case could be used: see the failed cases above')
    const before = meter.snapshot()
    const steps = await runEpoch(job, flow, usable, `epoch ${epoch + 1}/${options.epochs}`, epoch)
    const times = stageTimes(meter, before)
    stopIfInterrupted(signal)
    if (steps.length === 0)
      throw new PipelineError('ERR_DATASET', `epoch ${epoch + 1}: no case gave a patch: see the failed cases above`)
    const record: Record<string, unknown> = { epoch: epoch + 1, learningRate, ...summarise(steps) }
    let text = `epoch ${String(epoch + 1).padStart(String(options.epochs).length)}/${options.epochs}  loss ${(record['loss'] as number).toFixed(4)}  ${(record['patchesPerSecond'] as number).toFixed(1)} patches/s`
    await save(job, 'last.safetensors', { epoch: epoch + 1 })
    const { every } = options.validate
    const due = every > 0 && ((epoch + 1) % every === 0 || epoch + 1 === options.epochs)
    if (due && dataSet.section('validation').length > 0) {
      const metrics = await scoreSection(job, validation, 'validation', epoch)
      // Half of the cases say nothing about which weights are best.
      stopIfInterrupted(signal)
      const dice = keyMetric(metrics)
      record['validation'] = metrics
      text += `  validation Dice ${figure(dice)}`
      // As MONAI compares its key metric: rounded to four decimals, and only strictly better replaces.
      if (dice !== null && (!best || Math.round(dice * 1e4) > Math.round(best.dice * 1e4))) {
        best = { epoch: epoch + 1, dice }
        await save(job, 'best.safetensors', best)
        text += ' (best)'
      }
    }
    record['seconds'] = (performance.now() - started) / 1000
    folder.appendLine('metrics.jsonl', record)
    progress.event('epoch', record, text)
    progress.stages({ epoch: epoch + 1, ...times.values }, times.text)
  }
  if (!best) await save(job, 'best.safetensors', { epoch: options.epochs })
  return best
}

function stopIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
}

/** One pass over the cases in this epoch's order. */
async function runEpoch(
  { definition, progress, signal, cases, folder }: Job,
  flow: Transform,
  usable: readonly Case[],
  name: string,
  epoch: number,
): Promise<StepResult[]> {
  const steps: StepResult[] = []
  const ids = new Set<string>()
  progress.begin(name, usable.length)
  const order = caseOrder(definition.random, usable.length, definition.seed, epoch)
  const inputs = order.map(i => sampleOf(usable[i]!, epoch))
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
function validationFlow(options: TrainOptions, prefix: Transform, { context, meter }: Job): Transform {
  const { every: _, test: __, emptyRule, ...windows } = options.validate
  const before = { flow: prefix, stages: [] }
  const infer = buildStage({ ...windows, kind: 'infer', invert: false }, context, before, meter)
  const dice = buildStage({ kind: 'dice', emptyRule, classes: context.engine().info.classes }, context, before, meter)
  return source => dice(infer(prefix(source)))
}

async function scoreSection(
  { dataSet, cases, progress, signal }: Job,
  flow: Transform,
  section: string,
  epoch: number,
): Promise<Record<string, Distribution>> {
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
    usable.map(found => sampleOf(found, epoch)),
    flow,
    sink,
    signal,
  )
  return distributions(scores)
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
async function finish(
  job: Job,
  options: TrainOptions,
  validation: Transform,
  best: Best | undefined,
): Promise<TaskResult> {
  const { context, dataSet, folder, progress } = job
  const lines: string[] = best
    ? [`best validation Dice ${figure(best.dice)} after epoch ${best.epoch}`]
    : ['not validated: the data set has no usable validation cases, or "validate.every" is 0']
  const extra = best ? { bestValidation: best } : {}
  if (!options.validate.test || dataSet.section('testing').length === 0) return { metrics: extra, lines }
  await context.engine().load(await readWeights(join(folder.staging, 'best.safetensors')))
  const metrics = await scoreSection(job, validation, 'testing', options.epochs)
  const dice = metrics['dice']
  lines.push(`held-out Dice ${figure(dice?.mean)} over ${dice?.cases ?? 0} cases`, ...table(metrics))
  const baseline = await dataSet.baseline?.('testing')
  if (baseline) lines.push(`for comparison, ${baseline.name}: Dice ${figure(baseline.dice)}`)
  progress.event('test', metrics, `held-out Dice ${figure(dice?.mean)}`)
  return { metrics: { ...metrics, ...extra, ...(baseline && { baseline }) }, lines }
}
