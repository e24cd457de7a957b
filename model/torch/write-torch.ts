/** Weights as a checkpoint that torch.load(weights_only=True) reads. */

import type { Tensors } from '../../pipeline/engine.ts'
import { adamState, type AdamOptions } from '../adam.ts'
import { littleEndian } from '../dtypes.ts'
import { writeWhole } from '../write-whole.ts'
import { Call, Float, Name, PersistentId, pickle, Tuple, type Pickled } from './pickle-writer.ts'
import { zipChunks, type ZipEntry } from './zip-writer.ts'

export interface TorchContent {
  /** Weights in the order of the network's parameters and, by model/adam.ts's names, the optimiser's state. */
  readonly tensors: Tensors
  /** What the optimiser's state was made with; only where `tensors` has one. */
  readonly optimizer?: AdamOptions
  /** Plain data, written as `train_conf`. */
  readonly trainConf?: unknown
  /** Write the weights alone, as `model.state_dict()` is. */
  readonly bare?: boolean
}

/**
 * Writes {"model": state_dict, "train_conf", "optimizer"}, the published package's layout, or a bare state_dict. float32,
 * PyTorch's names and axis order, the same bytes for the same content. ERR_OUTPUT where it cannot be written.
 */
export async function writeTorch(path: string, { tensors, optimizer, trainConf, bare }: TorchContent): Promise<void> {
  const storages: ZipEntry[] = []
  const tensor = (shape: readonly number[], data: Float32Array): Pickled => {
    const key = String(storages.length)
    storages.push({ name: `archive/data/${key}`, bytes: littleEndian(data) })
    const storage = new PersistentId(new Tuple('storage', new Name('torch', 'FloatStorage'), key, 'cpu', data.length))
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1))
    const hooks = new Call(orderedDict, new Tuple())
    return new Call(
      new Name('torch._utils', '_rebuild_tensor_v2'),
      new Tuple(storage, 0, new Tuple(...shape), new Tuple(...strides), false, hooks),
    )
  }
  const weights = [...tensors].filter(([name]) => !name.startsWith(adamState.prefix))
  const model = new Call(
    orderedDict,
    new Tuple(),
    new Map(weights.map(([name, { shape, data }]) => [name, tensor(shape, data)])),
  )
  const content = new Map<Pickled, Pickled>([['model', model]])
  if (!bare && optimizer && tensors.has(adamState.step))
    content.set(
      'optimizer',
      optimiserState(
        tensors,
        weights.map(([name]) => name),
        optimizer,
        tensor,
      ),
    )
  if (!bare && trainConf !== undefined) content.set('train_conf', pickled(trainConf))
  const entries: ZipEntry[] = [
    { name: 'archive/data.pkl', bytes: pickle(bare ? model : content) },
    { name: 'archive/byteorder', bytes: Buffer.from('little') },
    ...storages,
    { name: 'archive/version', bytes: Buffer.from('3\n') },
  ]
  await writeWhole(path, zipChunks(entries))
}

const orderedDict = new Name('collections', 'OrderedDict')

/** What torch.optim.Adam.state_dict() gives: parameters numbered in their order, one group. */
function optimiserState(
  tensors: Tensors,
  names: readonly string[],
  { learningRate, beta1, beta2, epsilon, weightDecay }: AdamOptions,
  tensor: (shape: readonly number[], data: Float32Array) => Pickled,
): Pickled {
  const step = tensors.get(adamState.step)!.data
  const get = (name: string): Pickled => tensor(tensors.get(name)!.shape, tensors.get(name)!.data)
  const state = names.map((name, i): [Pickled, Pickled] => [
    i,
    new Map<Pickled, Pickled>([
      ['step', tensor([], step)],
      ['exp_avg', get(adamState.expAvg(name))],
      ['exp_avg_sq', get(adamState.expAvgSq(name))],
    ]),
  ])
  const group = new Map<Pickled, Pickled>([
    ['lr', new Float(learningRate)],
    ['betas', new Tuple(new Float(beta1), new Float(beta2))],
    ['eps', new Float(epsilon)],
    ['weight_decay', new Float(weightDecay)],
    ['amsgrad', false],
    ['maximize', false],
    ['foreach', null],
    ['capturable', false],
    ['differentiable', false],
    ['fused', null],
    ['params', names.map((_, i) => i)],
  ])
  return new Map<Pickled, Pickled>([
    ['state', new Map(state)],
    ['param_groups', [group]],
  ])
}

/** JSON's data as Python's. */
function pickled(value: unknown): Pickled {
  if (Array.isArray(value)) return value.map(pickled)
  if (typeof value === 'object' && value !== null)
    return new Map(Object.entries(value).map(([key, entry]) => [key, pickled(entry)]))
  return value as Pickled
}
