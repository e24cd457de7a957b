/** The state of PyTorch's Adam in a checkpoint, by the weights' names. */

import { adamState, type AdamOptions } from '../adam.ts'
import type { PyValue } from './pickle.ts'
import { materialiseTensors, TorchTensor } from './tensors.ts'

export interface OptimiserState {
  /** By the names of model/adam.ts. */
  readonly moments: ReadonlyMap<string, TorchTensor>
  readonly step: number
  readonly options: AdamOptions | undefined
}

/** The only optimiser's state, whatever its key; Lightning has a list. */
function onlyOptimiser(dict: ReadonlyMap<PyValue, PyValue>): PyValue {
  const found = [...dict.values()].flat().filter(item => item instanceof Map && item.has('param_groups'))
  return found.length === 1 ? found[0] : undefined
}

/** Adam's state by the weights' names: PyTorch numbers it by their order. What does not fit is left out, and said so. */
export async function optimiserOf(
  value: PyValue,
  weights: ReadonlyMap<string, TorchTensor>,
  notes: string[],
): Promise<OptimiserState | undefined> {
  const optimizer = value instanceof Map ? (value.get('optimizer') ?? onlyOptimiser(value)) : undefined
  if (optimizer === undefined) return undefined
  const leftOut = (why: string): undefined => void notes.push(`the optimiser's state was left out: ${why}`)
  const state = optimizer instanceof Map ? optimizer.get('state') : undefined
  const groups = optimizer instanceof Map ? optimizer.get('param_groups') : undefined
  if (!(state instanceof Map) || !Array.isArray(groups)) return leftOut('expected "state" and "param_groups"')
  if (state.size === 0) return leftOut('it is empty, no step was done')
  if (groups.length !== 1) return leftOut(`expected one group of parameters, found ${groups.length}`)
  const group: unknown = groups[0]
  // RAdam and NAdam have moments by the same names.
  if (!(group instanceof Map) || !group.has('amsgrad')) return leftOut("its options are not Adam's")
  const unknown = ['amsgrad', 'maximize', 'decoupled_weight_decay'].find(name => group.get(name) === true)
  if (unknown !== undefined) return leftOut(`${unknown} is not known here`)
  const moments = new Map<string, TorchTensor>()
  const steps = new Map<string, PyValue>()
  for (const [i, [name, { shape }]] of [...weights].entries()) {
    const entry: unknown = state.get(i)
    const [mean, square] = entry instanceof Map ? [entry.get('exp_avg'), entry.get('exp_avg_sq')] : []
    const fits = [mean, square].every(moment => moment instanceof TorchTensor && moment.shape.join() === shape.join())
    if (!fits) return leftOut(`expected exp_avg and exp_avg_sq of ${shape.join(' x ')} for ${name}, weight ${i}`)
    moments.set(adamState.expAvg(name), mean as TorchTensor)
    moments.set(adamState.expAvgSq(name), square as TorchTensor)
    steps.set(name, (entry as Map<PyValue, PyValue>).get('step'))
  }
  if (state.size !== weights.size) return leftOut(`expected state for ${weights.size} weights, found ${state.size}`)
  const counts = await stepCounts(steps)
  const [step] = counts
  if (counts.size !== 1 || step === undefined)
    return leftOut(
      `expected one number of steps for all weights, found ${[...counts].slice(0, 5).map(String).join(', ')}`,
    )
  const options = adamOptions(group)
  notes.push(
    `Adam's state after ${step} steps${options ? ` at learning rate ${options.learningRate}` : '; its options are not all numbers and were left out'}`,
  )
  if (options && options.weightDecay > 0)
    notes.push(`weight decay ${options.weightDecay} is Adam's, added to the gradient; AdamW's looks the same in a file`)
  return { moments, step, options }
}

/** PyTorch's names of Adam's options; `undefined` where one is missing or no number. */
function adamOptions(group: PyValue): AdamOptions | undefined {
  if (!(group instanceof Map)) return undefined
  const betas: unknown = group.get('betas')
  const [beta1, beta2] = Array.isArray(betas) ? (betas as unknown[]) : []
  const [learningRate, epsilon, weightDecay] = ['lr', 'eps', 'weight_decay'].map(name => group.get(name) as unknown)
  const options = { learningRate, beta1, beta2, epsilon, weightDecay }
  return Object.values(options).every(value => typeof value === 'number' && Number.isFinite(value))
    ? ({ kind: 'adam', ...options } as AdamOptions)
    : undefined
}

/** The different numbers of steps done, which PyTorch counts for each weight; `undefined` for what is no such number. */
async function stepCounts(steps: ReadonlyMap<string, PyValue>): Promise<Set<number | undefined>> {
  // Tensors since PyTorch 1.12, plain numbers before.
  const tensors = new Map(
    [...steps].filter((step): step is [string, TorchTensor] => step[1] instanceof TorchTensor && step[1].size === 1),
  )
  const counted = await materialiseTensors(tensors)
  const counts = [...steps].map(([name, step]) => counted.get(name)?.data[0] ?? step)
  return new Set(
    counts.map(count => (Number.isSafeInteger(count) && (count as number) >= 0 ? (count as number) : undefined)),
  )
}
