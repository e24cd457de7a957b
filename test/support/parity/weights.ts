/** Checkpoints of the references, and the network that each belongs to. */

import { segresnetOf } from '../../../model/segresnet-of.ts'
import type { SegresnetOptions } from '../../../model/segresnet.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import type { Tensors } from '../../../pipeline/engine.ts'
import { weightsOnly } from '../../../interop/checkpoint-network.ts'

const read = new Map<string, Promise<Tensors>>()

/** The parameters of a PyTorch checkpoint by their own names, as float32; each file is read once. */
export function weightsOf(path: string): Promise<Tensors> {
  const weights = read.get(path) ?? readTorch(path).then(({ tensors }) => weightsOnly(tensors))
  read.set(path, weights)
  return weights
}

/** The options that weights by PyTorch's names and shapes imply; `groups` leaves no trace in them. */
export function networkOf(weights: Tensors, groups = 8): SegresnetOptions {
  return { ...segresnetOf(weights)!, groups }
}
