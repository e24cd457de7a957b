/** What a checkpoint holds: weights by name in whatever dress, the optimiser's state, the training configuration. */

import { PipelineError } from '../../pipeline/errors.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import { adamState, type AdamOptions } from '../adam.ts'
import { isExactInFloat32, roundingNote } from '../dtypes.ts'
import type { Shapes } from '../parameters.ts'
import { Opaque } from './globals.ts'
import { Global, kindOf, shown, type PyValue } from './pickle.ts'
import { optimiserOf } from './optimiser-state.ts'
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

/** Where weights lie in a checkpoint's dict, first found first taken; else under the only key with nothing but tensors. */
const weightKeys = ['model', 'state_dict'] as const
/** What is put before the names: by DistributedDataParallel, by torch.compile, by the attribute of a Lightning module. */
const prefixes = ['module.', '_orig_mod.', 'model.', '_model.', 'net.', '_net.', 'network.', '_network.'] as const

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
    notes.push(...roundingNote(rounded))
    const tensors = await materialiseTensors(all)
    if (state) tensors.set(adamState.step, { shape: [], data: Float32Array.of(state.step) })
    return { tensors, ...(state?.options && { optimizer: state.options }), ...trainConf, notes }
  } finally {
    file.close()
  }
}

function weightsOf({ value, path }: TorchFile): { weights: Map<string, TorchTensor>; where: string } {
  if (!(value instanceof Map)) throw noWeights(path, `found ${kindOf(value)}`)
  const key = weightKeys.find(name => value.get(name) instanceof Map) ?? onlyStateDict(value)
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
  // The counter of torch.optim.swa_utils.AveragedModel, which is no weight.
  if ([...weights.keys()].every(name => name === 'n_averaged' || name.startsWith('module.')))
    weights.delete('n_averaged')
  let [named, stripped] = [weights, '']
  for (let prefix; (prefix = prefixes.find(text => [...named.keys()].every(name => name.startsWith(text))));) {
    const { length } = prefix
    named = new Map([...named].map(([name, tensor]) => [name.slice(length), tensor]))
    stripped += prefix
  }
  const where = `${key === undefined ? 'as a bare state_dict' : `under "${key}"`}${stripped ? `, prefix "${stripped}" taken off` : ''}`
  return { weights: named, where }
}

/** The key of the only entry that is a dict of tensors and of nothing else; MONAI's handlers are given any name, such as "net". */
function onlyStateDict(dict: ReadonlyMap<PyValue, PyValue>): string | undefined {
  const found = [...dict].filter(
    ([name, entry]) =>
      typeof name === 'string' &&
      entry instanceof Map &&
      entry.size > 0 &&
      [...entry.values()].every(item => item instanceof TorchTensor),
  )
  return found.length === 1 ? (found[0]![0] as string) : undefined
}

function noWeights(path: string, found: string): PipelineError {
  return new PipelineError(
    'ERR_WEIGHTS',
    `${path}: expected a state_dict, or a dict with one under "model", "state_dict" or one other key, ${found}; save the weights alone: torch.save(model.state_dict(), path)`,
    { path },
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
