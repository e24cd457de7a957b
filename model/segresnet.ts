/**
 * SegResNet (Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", 2018), as MONAI builds it and
 * NVIDIA published it for COVID-19 lesions: the network from top to bottom.
 *
 * This file loads no TensorFlow.js, so that a definition can be checked without it; `ops` is engine/ops/index.ts.
 */

import type { Tensor, Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import type { FromSchema } from 'json-schema-to-ts'
import type * as Operations from '../engine/ops/index.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { rng } from '../pipeline/random.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { ParameterSpec } from './parameters.ts'

export const segresnetSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  description: 'SegResNet; the defaults are the network of clara_pt_covid19_ct_lesion_segmentation',
  properties: {
    kind: { const: 'segresnet' },
    initFilters: {
      type: 'integer',
      minimum: 1,
      maximum: 512,
      default: 8,
      description: 'channels of the first level; each level doubles',
    },
    inChannels: { type: 'integer', minimum: 1, default: 1, description: 'channels of the image' },
    outChannels: {
      type: 'integer',
      minimum: 2,
      maximum: 32,
      default: 2,
      description: 'classes, the background included',
    },
    blocksDown: {
      type: 'array',
      items: { type: 'integer', minimum: 0, maximum: 64 },
      minItems: 1,
      maxItems: 8,
      default: [1, 2, 2, 4],
      description: 'residual blocks of each level on the way down; its length is the number of levels',
    },
    blocksUp: {
      type: 'array',
      items: { type: 'integer', minimum: 0, maximum: 64 },
      maxItems: 7,
      default: [1, 1, 1],
      description: 'residual blocks of each level on the way up, deepest first; one entry fewer than blocksDown',
    },
    groups: { type: 'integer', minimum: 1, default: 8, description: 'groups of the group norms' },
    dropout: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: 0,
      description: 'probability that a channel is dropped after the first convolution, in training only',
    },
    upsample: { enum: ['nontrainable'], default: 'nontrainable', description: 'trilinear interpolation' },
  },
  examples: [{ kind: 'segresnet', initFilters: 16, dropout: 0.2 }],
} as const

/** Options with their defaults filled in, as the definition gives them. */
export type SegresnetOptions = FromSchema<typeof segresnetSchema>

/** The published network: 1,176,186 parameters. */
export const publishedSegresnet: SegresnetOptions = {
  kind: 'segresnet',
  initFilters: 8,
  inChannels: 1,
  outChannels: 2,
  blocksDown: [1, 2, 2, 4],
  blocksUp: [1, 1, 1],
  groups: 8,
  dropout: 0,
  upsample: 'nontrainable',
}

/** Tensors by PyTorch's names, in the engine's axis order: filters (kz, ky, kx, ci, co), the rest (C). */
export type Parameters = ReadonlyMap<string, Tensor>

/** Where the random draws of a training step come from; absent outside training. */
export interface Training {
  readonly seed: number
  /** Steps done before this one. */
  readonly step: number
  /** Place in its batch of the first sample given. */
  readonly firstSample: number
}

/**
 * Logits (N, D, H, W, outChannels) of x (N, D, H, W, inChannels); D, H, W divisible by 2^(levels - 1). Every tensor but
 * `x` and the result is freed as soon as its last reader has run; what a gradient needs is kept by the tape.
 */
export function segresnet(
  ops: typeof Operations,
  parameters: Parameters,
  x: Tensor5D,
  options: SegresnetOptions,
  training?: Training,
): Tensor5D {
  const { blocksDown, blocksUp, groups } = options
  const at = parametersOf(parameters)
  const residual = (input: Tensor5D, name: string): Tensor5D => ops.residualBlock(input, at.block(name), groups)

  let level = ops.conv3d(x, at.filter('convInit.conv.weight'), 1) // (N, D, H, W, f)
  if (training && options.dropout > 0)
    level = replace(level, ops.scaleChannels(level, dropped(level, options, training)))

  const skips: Tensor5D[] = []
  blocksDown.forEach((blocks, i) => {
    if (i > 0) {
      skips.push(level) // (N, D / 2^(i-1), ..., f 2^(i-1))
      level = ops.convolution(level, at.filter(`down_layers.${i}.0.conv.weight`), 2) // (N, D / 2^i, ..., f 2^i)
    }
    for (let j = 1; j <= blocks; j++) level = replace(level, residual(level, `down_layers.${i}.${j}`))
  })

  blocksUp.forEach((blocks, i) => {
    level = replace(level, ops.convolution(level, at.filter(`up_samples.${i}.0.conv.weight`), 1)) // half the channels
    const skip = skips.pop()!
    level = replace(level, ops.upsampleAdd(level, skip)) // twice the extents: the skip's shape
    skip.dispose()
    for (let j = 0; j < blocks; j++) level = replace(level, residual(level, `up_layers.${i}.${j}`))
  })

  return replace(level, ops.head(level, at.head(), groups)) // (N, D, H, W, outChannels)
}

/** The parameters in PyTorch's order, which is also the order of its optimiser's state. */
export function segresnetParameters(options: SegresnetOptions): ParameterSpec[] {
  const { initFilters: f, inChannels, outChannels, blocksDown, blocksUp } = options
  const channelsUp = blocksUp.map((_, i) => f * 2 ** (blocksDown.length - 2 - i))
  return [
    filter('convInit.conv.weight', inChannels, f, 3),
    ...blocksDown.flatMap((blocks, i) => [
      ...(i > 0 ? [filter(`down_layers.${i}.0.conv.weight`, f * 2 ** (i - 1), f * 2 ** i, 3)] : []),
      ...range(blocks).flatMap(j => block(`down_layers.${i}.${j + 1}`, f * 2 ** i)),
    ]),
    ...blocksUp.flatMap((blocks, i) => range(blocks).flatMap(j => block(`up_layers.${i}.${j}`, channelsUp[i]!))),
    ...channelsUp.map((channels, i) => filter(`up_samples.${i}.0.conv.weight`, channels * 2, channels, 1)),
    ...norm('conv_final.0', f),
    filter('conv_final.2.conv.weight', f, outChannels, 1),
    { name: 'conv_final.2.conv.bias', shape: [outChannels], kind: 'bias', fanIn: f },
  ]
}

function filter(name: string, ci: number, co: number, size: number): ParameterSpec {
  return { name, shape: [co, ci, size, size, size], kind: 'filter', fanIn: ci * size ** 3 }
}

function norm(name: string, channels: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [channels], kind: 'scale', fanIn: 0 },
    { name: `${name}.bias`, shape: [channels], kind: 'shift', fanIn: 0 },
  ]
}

function block(name: string, channels: number): ParameterSpec[] {
  return [
    ...norm(`${name}.norm1`, channels),
    ...norm(`${name}.norm2`, channels),
    filter(`${name}.conv1.conv.weight`, channels, channels, 3),
    filter(`${name}.conv2.conv.weight`, channels, channels, 3),
  ]
}

/** What the schema cannot say: that the lists fit each other and that groups divide channels. ERR_DEFINITION. */
export function checkSegresnet(options: SegresnetOptions): void {
  const { initFilters, groups, blocksDown, blocksUp } = options
  if (blocksUp.length !== blocksDown.length - 1) {
    throw new PipelineError(
      'ERR_DEFINITION',
      `segresnet: expected blocksUp to have ${blocksDown.length - 1} entries, one fewer than blocksDown, found ${blocksUp.length}`,
      { blocksDown, blocksUp },
    )
  }
  blocksDown.forEach((_, level) => {
    const channels = initFilters * 2 ** level
    if (channels % groups !== 0) {
      throw new PipelineError(
        'ERR_DEFINITION',
        `segresnet: level ${level} has ${channels} channels, which ${groups} groups do not divide; choose initFilters as a multiple of groups`,
        { level, channels, groups },
      )
    }
  })
}

/** Every extent must halve evenly once per level below the first. ERR_DEFINITION. */
export function checkSpatialShape(options: SegresnetOptions, shape: Shape3): void {
  const divisor = 2 ** (options.blocksDown.length - 1)
  if (shape.length === 3 && shape.every(extent => extent > 0 && extent % divisor === 0)) return
  const nearest = [0, 1, 2].map(axis => Math.max(1, Math.ceil((shape[axis] ?? 0) / divisor) || 1) * divisor)
  throw new PipelineError(
    'ERR_DEFINITION',
    `segresnet: a patch of ${shape.join(' x ')} voxels does not halve evenly on ${options.blocksDown.length} levels; every extent must be divisible by ${divisor}, for example ${nearest.join(' x ')}`,
    { shape, divisor },
  )
}

/** Frees `old` and gives `next`. */
function replace(old: Tensor, next: Tensor5D): Tensor5D {
  old.dispose()
  return next
}

/** The factors of channel dropout (N, 1, 1, 1, C): a function of seed, step and sample only. */
function dropped(level: Tensor5D, { dropout }: SegresnetOptions, { seed, step, firstSample }: Training): number[][] {
  return range(level.shape[0]).map(n => {
    const draws = rng(seed, step, firstSample + n, 'dropout')
    return range(level.shape[4]).map(() => (draws.uniform() < dropout ? 0 : 1 / (1 - dropout)))
  })
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i)
}

function parametersOf(parameters: Parameters) {
  const get = (name: string): Tensor => {
    const tensor = parameters.get(name)
    if (!tensor) throw new Error(`no parameter ${name}`)
    return tensor
  }
  const kernel = (name: string): Tensor5D => get(name) as Tensor5D
  const vector = (name: string): Tensor1D => get(name) as Tensor1D
  return {
    filter: kernel,
    block: (name: string): Operations.BlockParameters => ({
      gamma1: vector(`${name}.norm1.weight`),
      beta1: vector(`${name}.norm1.bias`),
      filter1: kernel(`${name}.conv1.conv.weight`),
      gamma2: vector(`${name}.norm2.weight`),
      beta2: vector(`${name}.norm2.bias`),
      filter2: kernel(`${name}.conv2.conv.weight`),
    }),
    head: (): Operations.HeadParameters => ({
      gamma: vector('conv_final.0.weight'),
      beta: vector('conv_final.0.bias'),
      filter: kernel('conv_final.2.conv.weight'),
      bias: vector('conv_final.2.conv.bias'),
    }),
  }
}
