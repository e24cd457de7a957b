/** Whose network a checkpoint's weights are, and whether they are all there. */

import { Ajv } from 'ajv'
import { adamSchema, adamState, type AdamOptions } from '../model/adam.ts'
import { readCheckpoint, type Checkpoint, type Outline } from '../model/checkpoint.ts'
import { checkGroups, segresnetOf } from '../model/segresnet-of.ts'
import {
  checkSegresnet,
  publishedSegresnet,
  segresnetParameters,
  segresnetSchema,
  type SegresnetOptions,
} from '../model/segresnet.ts'
import { checkCheckpoint } from '../model/weights.ts'
import { codeOf, PipelineError } from '../pipeline/errors.ts'
import { networkFromTrainConf } from './mmar/train-conf.ts'

export interface KnownNetwork {
  readonly network: SegresnetOptions
  /** For people: where the options come from. */
  readonly from: string
}

/** The weights without the optimiser's state. */
export function weightsOnly<T>(tensors: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return new Map([...tensors].filter(([name]) => !name.startsWith(adamState.prefix)))
}

/** Reads a checkpoint of the network that it turns out to be, by `networkOf`: nothing of another one is read. */
export async function readNetwork(
  path: string,
  given?: KnownNetwork,
): Promise<{ checkpoint: Checkpoint; known: KnownNetwork }> {
  let known: KnownNetwork | undefined
  const checkpoint = await readCheckpoint(path, outline => {
    known = networkOf(path, outline, given)
  })
  return { checkpoint, known: known! }
}

/**
 * The network's options: what is given, else what the file says of itself, else its `train_conf`, else what the shapes say.
 * ERR_WEIGHTS lists the missing, the unexpected and the misshapen tensors where the weights are not that network's.
 */
export function networkOf(path: string, outline: Outline, given?: KnownNetwork): KnownNetwork {
  const { tensors, facts, trainConf } = outline
  const shaped = segresnetOf(tensors)
  const known =
    given ??
    written(facts['network']) ??
    configured(trainConf) ??
    (shaped && {
      network: shaped,
      from: `the shapes of the weights (${shaped.groups} groups assumed: shapes do not tell)`,
    })
  const { network } = known ?? { network: publishedSegresnet }
  if (known?.network === shaped) checkShaped(path, network)
  checkSegresnet(network)
  checkCheckpoint(tensors, segresnetParameters(network), path)
  checkGroups(network, outline, path)
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

/** ERR_WEIGHTS for a SegResNet that a definition could not name, such as one of a single class. */
function checkShaped(path: string, network: SegresnetOptions): void {
  const ajv = new Ajv({ strict: false })
  if (ajv.validate(segresnetSchema, network)) return
  const problem = ajv.errorsText(ajv.errors, { dataVar: '', separator: '; ' })
  const message = `${path}: the shapes of its weights are those of a SegResNet that cannot be built here: ${problem}`
  throw new PipelineError('ERR_WEIGHTS', message, { path, network })
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
