/**
 * SegResNet's forward pass in float64 on the plain loops of this folder, as a list of layers: a change in one layer's
 * parameters needs only the layers from there on to run again, which makes finite differences affordable.
 */

import { diceCrossEntropy, type DiceCrossEntropyOptions } from './dice-ce.ts'
import { conv3d, type Shape5 } from './conv3d.ts'
import { groupNormRelu } from './group-norm.ts'
import { upsample2 } from './upsample.ts'

/** (N, D, H, W, C). */
export interface Values {
  readonly data: Float64Array
  readonly shape: Shape5
}

/** Parameters by PyTorch's names; filters (kd, kh, kw, ci, co). */
export type ReferenceParameters = ReadonlyMap<
  string,
  { readonly data: Float64Array; readonly shape: readonly number[] }
>

/** What flows from layer to layer: the present level and the encoder's outputs that wait for the way up. */
export interface State {
  readonly level: Values
  readonly skips: readonly Values[]
}

export interface Layer {
  /** The parameters that this layer reads. */
  readonly names: readonly string[]
  readonly run: (state: State, parameters: ReferenceParameters) => State
}

export interface ReferenceNetwork {
  readonly blocksDown: readonly number[]
  readonly blocksUp: readonly number[]
  readonly groups: number
}

/** The network, top to bottom. */
export function layers({ blocksDown, blocksUp, groups }: ReferenceNetwork): Layer[] {
  const list: Layer[] = [convolution('convInit.conv.weight', 1)]
  blocksDown.forEach((blocks, i) => {
    if (i > 0) list.push(keepSkip, convolution(`down_layers.${i}.0.conv.weight`, 2))
    for (let j = 1; j <= blocks; j++) list.push(residualBlock(`down_layers.${i}.${j}`, groups))
  })
  blocksUp.forEach((blocks, i) => {
    list.push(convolution(`up_samples.${i}.0.conv.weight`, 1), upsampleAdd)
    for (let j = 0; j < blocks; j++) list.push(residualBlock(`up_layers.${i}.${j}`, groups))
  })
  list.push(head(groups))
  return list
}

/** The state before every layer, and last the one after all of them. */
export function states(network: readonly Layer[], parameters: ReferenceParameters, x: Values): State[] {
  const all: State[] = [{ level: x, skips: [] }]
  for (const layer of network) all.push(layer.run(all[all.length - 1]!, parameters))
  return all
}

/** The loss at the end, from the state before layer `from`. */
export function lossFrom(
  network: readonly Layer[],
  from: number,
  state: State,
  parameters: ReferenceParameters,
  labels: ArrayLike<number>,
  options: DiceCrossEntropyOptions,
): number {
  const { level } = network.slice(from).reduce((current, layer) => layer.run(current, parameters), state)
  return diceCrossEntropy(level.data, labels, level.shape, options).loss
}

const keepSkip: Layer = { names: [], run: ({ level, skips }) => ({ level, skips: [...skips, level] }) }

const upsampleAdd: Layer = {
  names: [],
  run: ({ level, skips }) => {
    const { y, shape } = upsample2(level.data, level.shape)
    const skip = skips[skips.length - 1]!
    return { level: { data: y.map((value, i) => value + skip.data[i]!), shape }, skips: skips.slice(0, -1) }
  },
}

function convolution(name: string, stride: number): Layer {
  return {
    names: [name],
    run: ({ level, skips }, parameters) => ({ level: convolve(level, name, stride, parameters), skips }),
  }
}

function residualBlock(name: string, groups: number): Layer {
  const parts = ['norm1.weight', 'norm1.bias', 'conv1.conv.weight', 'norm2.weight', 'norm2.bias', 'conv2.conv.weight']
  return {
    names: parts.map(part => `${name}.${part}`),
    run: ({ level, skips }, parameters) => {
      const half = (x: Values, i: number): Values =>
        convolve(normalise(x, `${name}.norm${i}`, groups, parameters), `${name}.conv${i}.conv.weight`, 1, parameters)
      const y = half(half(level, 1), 2)
      return { level: { ...y, data: y.data.map((value, i) => value + level.data[i]!) }, skips }
    },
  }
}

function head(groups: number): Layer {
  return {
    names: ['conv_final.0.weight', 'conv_final.0.bias', 'conv_final.2.conv.weight', 'conv_final.2.conv.bias'],
    run: ({ level, skips }, parameters) => {
      const y = convolve(
        normalise(level, 'conv_final.0', groups, parameters),
        'conv_final.2.conv.weight',
        1,
        parameters,
      )
      const bias = parameters.get('conv_final.2.conv.bias')!.data
      return { level: { ...y, data: y.data.map((value, i) => value + bias[i % bias.length]!) }, skips }
    },
  }
}

function convolve(x: Values, name: string, stride: number, parameters: ReferenceParameters): Values {
  const { data, shape } = parameters.get(name)!
  const filter = conv3d(x.data, x.shape, data, shape as unknown as Shape5, stride, (shape[0]! - 1) / 2)
  return { data: filter.y, shape: filter.shape }
}

function normalise(x: Values, name: string, groups: number, parameters: ReferenceParameters): Values {
  const gamma = parameters.get(`${name}.weight`)!.data
  const beta = parameters.get(`${name}.bias`)!.data
  return { data: groupNormRelu(x.data, x.shape, gamma, beta, groups, 1e-5, true).y, shape: x.shape }
}
