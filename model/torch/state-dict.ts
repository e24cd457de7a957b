/** What a checkpoint holds: weights by name in whatever dress, the optimiser's state, the training configuration. */

import { PipelineError } from '../../pipeline/errors.ts'
import type { Tensors } from '../../pipeline/stage.ts'
import { adamState, type AdamOptions } from '../adam.ts'
import { isExactInFloat32 } from '../dtypes.ts'
import type { Shapes } from '../parameters.ts'
import { Opaque } from './globals.ts'
import { Global, kindOf, shown, type PyValue } from './pickle.ts'
import { openTorch, type TorchFile } from './read-torch.ts'
import { checkExpansion, materialiseTensors, TorchTensor } from './tensors.ts'

export interface TorchCheckpoint {
  /** Weights by PyTorch's names, without a "module." prefix, and the optimiser's state as model/adam.ts names it. */
  readonly tensors: Tensors
  /** What the optimiser's state was made with, where it came along. */
  readonly optimizer?: AdamOptions
  /** The published package's `train_conf`, as plain data; absent where the file has none. */
  readonly trainConf?: unknown
  /** For people: in which dress the weights came, and what was left out. */
  readonly notes: readonly string[]
}

/** Where weights lie in a checkpoint's dict, first found first taken. */
const weightKeys = ['model', 'state_dict'] as const
/** What wrappers put before the names: DistributedDataParallel, torch.compile. */
const prefixes = ['module.', '_orig_mod.'] as const

/**
 * Weights and the optimiser's state of a PyTorch checkpoint, as float32. ERR_WEIGHTS where the file is damaged, asks for
 * more than data, or holds no weights. `check` may throw before any values are read.
 */
export async function readTorch(
  path: string,
  check: (outline: { readonly tensors: Shapes; readonly trainConf?: unknown }) => void = () => {},
): Promise<TorchCheckpoint> {
  const file = await openTorch(path)
  try {
    const { weights, where } = weightsOf(file)
    const notes = [`${file.format === 'zip' ? 'a zip archive' : 'the legacy format'}, ${weights.size} tensors ${where}`]
    const conf = file.value instanceof Map ? file.value.get('train_conf') : undefined
    const trainConf = conf === undefined ? {} : { trainConf: plain(conf, path) }
    check({ tensors: weights, ...trainConf })
    const state = await optimiserOf(file.value, weights, notes)
    const all = new Map([...weights, ...(state?.moments ?? [])])
    checkExpansion(path, file.size, all.values())
    const rounded = [...weights].filter(([, { dtype }]) => !isExactInFloat32(dtype)).map(([name]) => name)
    if (rounded.length > 0) notes.push(`rounded to float32: ${rounded.join(', ')}`)
    const tensors = await materialiseTensors(all)
    if (state) tensors.set(adamState.step, { shape: [], data: Float32Array.of(state.step) })
    return { tensors, ...(state?.options && { optimizer: state.options }), ...trainConf, notes }
  } finally {
    file.close()
  }
}

function weightsOf({ value, path }: TorchFile): { weights: Map<string, TorchTensor>; where: string } {
  if (!(value instanceof Map)) throw noWeights(path, `found ${kindOf(value)}`)
  const key = weightKeys.find(name => value.get(name) instanceof Map)
  const dict = (key === undefined ? value : value.get(key)) as Map<PyValue, PyValue>
  const weights = new Map<string, TorchTensor>()
  const others: string[] = []
  for (const [name, entry] of dict) {
    if (typeof name === 'string' && entry instanceof TorchTensor) weights.set(name, entry)
    else others.push(`${shown(name)} (${kindOf(entry)})`)
  }
  if (weights.size === 0 || (key !== undefined && others.length > 0))
    throw noWeights(
      path,
      `found ${key === undefined ? 'a dict' : `"${key}"`} of ${weights.size} tensors and other things: ${others.slice(0, 8).join(', ') || 'nothing'}`,
    )
  let [named, stripped] = [weights, '']
  for (let prefix; (prefix = prefixes.find(text => [...named.keys()].every(name => name.startsWith(text))));) {
    const { length } = prefix
    named = new Map([...named].map(([name, tensor]) => [name.slice(length), tensor]))
    stripped += prefix
  }
  const where = `${key === undefined ? 'as a bare state_dict' : `under "${key}"`}${stripped ? `, prefix "${stripped}" taken off` : ''}`
  return { weights: named, where }
}

function noWeights(path: string, found: string): PipelineError {
  return new PipelineError(
    'ERR_WEIGHTS',
    `${path}: expected a state_dict, or a dict with one under "model" or "state_dict", ${found}`,
    { path },
  )
}

interface OptimiserState {
  readonly moments: ReadonlyMap<string, TorchTensor>
  readonly step: number
  readonly options: AdamOptions | undefined
}

/** Adam's state by the weights' names: PyTorch numbers it by their order. What does not fit is left out, and said so. */
async function optimiserOf(
  value: PyValue,
  weights: ReadonlyMap<string, TorchTensor>,
  notes: string[],
): Promise<OptimiserState | undefined> {
  const optimizer = value instanceof Map ? value.get('optimizer') : undefined
  if (optimizer === undefined) return undefined
  const leftOut = (why: string): undefined => void notes.push(`the optimiser's state was left out: ${why}`)
  const state = optimizer instanceof Map ? optimizer.get('state') : undefined
  const groups = optimizer instanceof Map ? optimizer.get('param_groups') : undefined
  if (!(state instanceof Map) || !Array.isArray(groups)) return leftOut('expected "state" and "param_groups"')
  if (state.size === 0) return leftOut('it is empty, no step was done')
  if (groups.length !== 1) return leftOut(`expected one group of parameters, found ${groups.length}`)
  const group: unknown = groups[0]
  if (group instanceof Map && group.get('amsgrad') === true) return leftOut('amsgrad is not known here')
  const moments = new Map<string, TorchTensor>()
  const steps = new Map<string, PyValue>()
  for (const [i, [name, { shape }]] of [...weights].entries()) {
    const entry: unknown = state.get(i)
    const [mean, square] = entry instanceof Map ? [entry.get('exp_avg'), entry.get('exp_avg_sq')] : []
    const fits = [mean, square].every(moment => moment instanceof TorchTensor && moment.shape.join() === shape.join())
    if (!fits) return leftOut(`expected exp_avg and exp_avg_sq of ${shape.join(' x ')} for ${name}, the ${i}th weight`)
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
  notes.push(`Adam's state after ${step} steps${options ? ` at learning rate ${options.learningRate}` : ''}`)
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

/** A dict's key as JSON has it. */
function keyOf(key: PyValue): string {
  return typeof key === 'string' ? key : shown(key)
}

const maxDepth = 100
const maxNodes = 1_000_000

/** Plain data (as JSON has it) of a configuration; tensors and what is opaque become a word that says so. */
function plain(value: PyValue, path: string): unknown {
  let nodes = 0
  const convert = (node: PyValue, depth: number): unknown => {
    if (depth > maxDepth || ++nodes > maxNodes)
      throw new PipelineError('ERR_WEIGHTS', `${path}: train_conf is nested too deep, or holds itself`, { path })
    if (node instanceof Map)
      return Object.fromEntries([...node].map(([key, entry]) => [keyOf(key), convert(entry, depth + 1)]))
    if (Array.isArray(node)) return node.map(entry => convert(entry, depth + 1))
    if (node instanceof Set) return [...node].map(entry => convert(entry, depth + 1))
    if (node instanceof Opaque || node instanceof Global) return `<${node.name}>`
    if (node instanceof TorchTensor) return `<tensor ${node.shape.join(' x ')}>`
    if (node instanceof Uint8Array) return `<${node.length} bytes>`
    return typeof node === 'bigint' ? Number(node) : node
  }
  return convert(value, 0)
}
