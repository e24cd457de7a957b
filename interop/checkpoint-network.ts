/** Whose network a checkpoint's weights are, and whether they are all there. */

import { Ajv } from 'ajv'
import { adamSchema, adamState, type AdamOptions } from '../model/adam.ts'
import type { Checkpoint } from '../model/checkpoint.ts'
import { segresnetOf } from '../model/segresnet-of.ts'
import {
  checkSegresnet,
  publishedSegresnet,
  segresnetParameters,
  segresnetSchema,
  type SegresnetOptions,
} from '../model/segresnet.ts'
import { checkWeights } from '../model/weights.ts'
import { codeOf } from '../pipeline/errors.ts'
import type { Tensors } from '../pipeline/stage.ts'
import { networkFromTrainConf } from './mmar/train-conf.ts'

export interface KnownNetwork {
  readonly network: SegresnetOptions
  /** For people: where the options come from. */
  readonly from: string
}

/** The weights without the optimiser's state. */
export function weightsOnly(tensors: Tensors): Tensors {
  return new Map([...tensors].filter(([name]) => !name.startsWith(adamState.prefix)))
}

/**
 * The network's options: what is given, else what the file says of itself, else its `train_conf`, else what the shapes say.
 * ERR_WEIGHTS lists the missing, the unexpected and the misshapen tensors where the weights are not that network's.
 */
export function networkOf(path: string, checkpoint: Checkpoint, given?: KnownNetwork): KnownNetwork {
  const { tensors, facts, trainConf } = checkpoint
  const weights = weightsOnly(tensors)
  const known = given ?? written(facts['network']) ?? configured(trainConf) ?? shaped(weights)
  const { network } = known ?? { network: publishedSegresnet }
  checkSegresnet(network)
  checkWeights(weights, segresnetParameters(network), path)
  return known ?? { network, from: 'the published network' }
}

/** What a train_conf says; `undefined` where it has no network, or none that can be built here: then the shapes speak. */
function configured(trainConf: unknown): KnownNetwork | undefined {
  try {
    const found = networkFromTrainConf(trainConf)
    return found && { network: found.network, from: "the checkpoint's train_conf" }
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return undefined
  }
}

function shaped(weights: Tensors): KnownNetwork | undefined {
  const network = segresnetOf(weights)
  return (
    network && {
      network,
      from: `the shapes of the weights (${network.groups} groups assumed: shapes do not tell)`,
    }
  )
}

/** What a run of ours has written beside its weights; `undefined` where somebody else's file has another "network". */
function written(value: unknown): KnownNetwork | undefined {
  return isValid<SegresnetOptions>(segresnetSchema, value)
    ? { network: value, from: "the checkpoint's own metadata" }
    : undefined
}

/** The optimiser's options, from a PyTorch file or as a run of ours has written them beside its state. */
export function optimizerOf({ facts, optimizer }: Checkpoint): AdamOptions | undefined {
  const value = optimizer ?? structuredClone(facts['optimizer'])
  return isValid<AdamOptions>(adamSchema, value) ? value : undefined
}

/** Fills defaults in where it is valid. */
function isValid<T>(schema: object, value: unknown): value is T {
  return value !== undefined && new Ajv({ useDefaults: true, strict: false }).validate(schema, value)
}
