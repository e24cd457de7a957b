/** The checkpoint of an MMAR: read by somebody else, recognised, and fitted to a network. */

import { existsSync } from 'node:fs'
import { basename, resolve as absolute } from 'node:path'
import { segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import { checkWeights } from '../../model/weights.ts'
import { codeOf, messageOf, PipelineError } from '../../pipeline/errors.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import type { Configurations } from './configurations.ts'
import { configurations, isInside, type Mmar } from './folder.ts'
import { sameJson, type Json, type Place } from './json.ts'
import { distanceFromPublished, isPublished } from './published.ts'
import type { Report } from './report.ts'
import { networkFromTrainConf } from './train-conf.ts'
import type { Training } from './training.ts'

/** The file of an import's weights. */
export const weightsName = 'model.safetensors'

/** What a reader of PyTorch's checkpoints gives. */
export interface ImportedCheckpoint {
  /** By PyTorch's names, in PyTorch's axis order. */
  readonly tensors: Tensors
  /** Plain values as JSON has them. */
  readonly trainConf?: unknown
  /** What the reader changed or left out, for people. */
  readonly notes: readonly string[]
}

export interface WeightsOptions {
  /** Values of placeholders, name=value. */
  readonly set?: readonly string[]
  /** Throws a PipelineError for a file that is no checkpoint. */
  readonly readCheckpoint: (path: string) => Promise<ImportedCheckpoint>
}

export interface Weights {
  readonly tensors: Tensors
  /** Below the MMAR. */
  readonly name: string
  /** By what the checkpoint says of itself. */
  readonly network?: SegresnetOptions
}

export async function readWeights(
  mmar: Mmar,
  environment: Configurations['environment'],
  { readCheckpoint, set = [] }: WeightsOptions,
  report: Report,
): Promise<Weights | undefined> {
  const name = environment('MMAR_CKPT') ?? 'models/model.pt'
  const path = absolute(mmar.root, name)
  const place = { file: name, pointer: '' }
  const isAsked = set.some(text => text.startsWith('MMAR_CKPT='))
  if (!isInside(mmar.root, path) && !isAsked) {
    report.add('refused', place, 'MMAR_CKPT', `leads out of the MMAR; name it yourself with --set MMAR_CKPT=${name}`)
    return undefined
  }
  if (!existsSync(path)) {
    const torchscript = environment('MMAR_TORCHSCRIPT') ?? 'models/model.ts'
    const other = existsSync(absolute(mmar.root, torchscript))
      ? `; ${torchscript} is a program (TorchScript), which is not run`
      : ''
    report.add(
      'check',
      place,
      'weights',
      `there is no such file${other}; infer.json and evaluate.json take those that train.json will leave`,
    )
    return undefined
  }
  const { tensors, trainConf, notes } = await readCheckpoint(path)
  for (const note of notes) report.add('taken', place, basename(name), note)
  const distance = distanceFromPublished(tensors)
  report.add(
    'taken',
    place,
    `${tensors.size} tensors`,
    isPublished(tensors)
      ? `these are the published weights of clara_pt_covid19_ct_lesion_segmentation: the first filter is theirs, to within ${distance!.toExponential(1)}`
      : `not the published weights of clara_pt_covid19_ct_lesion_segmentation: ${distance === undefined ? 'there is no first filter to compare' : `the first filter differs by up to ${distance.toPrecision(3)}`}`,
  )
  const own = ownNetwork(trainConf, place, report)
  return { tensors, name, ...(own && { network: own }) }
}

/** The network by the checkpoint's train_conf. One that cannot be used is no reason to give up: the configuration may know. */
function ownNetwork(trainConf: unknown, place: Place, report: Report): SegresnetOptions | undefined {
  if (trainConf === undefined || trainConf === null) return undefined
  try {
    return networkFromTrainConf(trainConf)?.network
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    report.add('check', place, 'train_conf', messageOf(error))
    return undefined
  }
}

/** The options that fit the weights: those of the checkpoint, then those of the configuration, as MONAI looks for them. */
export function chooseNetwork(
  mmar: Mmar,
  training: Training | undefined,
  checkpoint: Weights | undefined,
  report: Report,
): SegresnetOptions {
  const candidates = [checkpoint?.network, training?.network].filter(network => network !== undefined)
  const [first] = candidates
  if (!first)
    throw new PipelineError(
      'ERR_DEFINITION',
      `${mmar.root}: expected the options of the network in the configuration of a training or in the checkpoint's train_conf, found neither; ${configurations(mmar.root)}`,
      { dir: mmar.root },
    )
  if (!checkpoint) return first
  const place = { file: checkpoint.name, pointer: '' }
  const fits = candidates.find(network => {
    try {
      checkWeights(checkpoint.tensors, segresnetParameters(network))
      return true
    } catch (error) {
      if (codeOf(error) !== 'ERR_WEIGHTS') throw error
      return false
    }
  })
  if (!fits) checkWeights(checkpoint.tensors, segresnetParameters(first), checkpoint.name)
  const network = fits!
  if (training && !sameJson(asJson(network), asJson(training.network)))
    report.add(
      'check',
      place,
      'network',
      `the weights belong to ${JSON.stringify(network)}, the configuration says ${JSON.stringify(training.network)}; each is used where it belongs`,
    )
  report.add('taken', place, 'weights', `${weightsName}: names and shapes are exactly those of the network`)
  return network
}

function asJson(value: object): Json {
  return value as unknown as Json
}
