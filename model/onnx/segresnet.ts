/**
 * SegResNet as an ONNX graph, in PyTorch's axis order (N, C, X, Y, Z): model/segresnet.ts once more, as nodes. Dropout,
 * which is for training, is not among them.
 *
 * The operators are those that ONNX Runtime, TensorRT and OpenVINO all run. A group norm is therefore what PyTorch's own
 * exporter makes of it, an instance norm over each group's values, not the operator GroupNormalization: that came with
 * opset 18, with a scale per group, and was replaced in opset 21, with a scale per channel.
 */

import type { Tensors } from '../../pipeline/engine.ts'
import { segresnetParameters, type SegresnetOptions } from '../segresnet.ts'
import {
  float32Tensor,
  int64Tensor,
  type OnnxAttribute,
  type OnnxGraph,
  type OnnxNode,
  type OnnxTensor,
} from './protobuf.ts'

const pointwise = { kernel_shape: [1, 1, 1] }
/** Of half-pixel centres: PyTorch's align_corners=False. */
const trilinear = { mode: 'linear', coordinate_transformation_mode: 'half_pixel' }

/** The graph's own constants, beside the parameters. */
const groupShape = 'group_norm.shape'
const groupScale = 'group_norm.ones'
const groupShift = 'group_norm.zeros'
const spatialAxes = 'spatial_axes'
const upsampleScales = 'upsample.scales'

/**
 * Input `image` (batch, inChannels, x, y, z), output `logits` (batch, outChannels, x, y, z); the named extents are free,
 * x, y and z divisible by 2^(levels - 1). Initializers bear PyTorch's names and are the given weights, which fit the
 * network. A node's name is that of the PyTorch module it is part of, and so is the value it makes.
 */
export function segresnetGraph(network: SegresnetOptions, weights: Tensors): OnnxGraph {
  const { inChannels, outChannels, blocksDown, blocksUp, groups } = network
  const nodes: OnnxNode[] = []
  /** Appends a node and gives the name of its output. */
  const node = (
    name: string,
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    output = name,
  ): string => {
    nodes.push({ name, operator, inputs, output, attributes })
    return output
  }

  const groupNormRelu = (x: string, name: string): string => {
    const shape = node(`${name}.shape`, 'Shape', [x])
    const grouped = node(`${name}.grouped`, 'Reshape', [x, groupShape]) // (N, groups, C / groups X Y Z)
    const normal = node(`${name}.normal`, 'InstanceNormalization', [grouped, groupScale, groupShift], { epsilon: 1e-5 })
    const restored = node(`${name}.restored`, 'Reshape', [normal, shape]) // (N, C, X, Y, Z)
    const scale = node(`${name}.scale`, 'Unsqueeze', [`${name}.weight`, spatialAxes]) // (C, 1, 1, 1)
    const shift = node(`${name}.shift`, 'Unsqueeze', [`${name}.bias`, spatialAxes])
    const scaled = node(`${name}.scaled`, 'Mul', [restored, scale])
    return node(`${name}.relu`, 'Relu', [node(name, 'Add', [scaled, shift])])
  }
  const residualBlock = (x: string, name: string): string => {
    let y = groupNormRelu(x, `${name}.norm1`)
    y = node(`${name}.conv1`, 'Conv', [y, filter(`${name}.conv1`)], cubic(1))
    y = groupNormRelu(y, `${name}.norm2`)
    y = node(`${name}.conv2`, 'Conv', [y, filter(`${name}.conv2`)], cubic(1))
    return node(name, 'Add', [y, x])
  }

  let level = node('convInit', 'Conv', ['image', filter('convInit')], cubic(1)) // (N, f, X, Y, Z)

  const skips: string[] = []
  blocksDown.forEach((blocks, i) => {
    if (i > 0) {
      skips.push(level) // (N, f 2^(i-1), X / 2^(i-1), ...)
      level = node(`down_layers.${i}.0`, 'Conv', [level, filter(`down_layers.${i}.0`)], cubic(2)) // (N, f 2^i, X / 2^i, ...)
    }
    for (let j = 1; j <= blocks; j++) level = residualBlock(level, `down_layers.${i}.${j}`)
  })

  blocksUp.forEach((blocks, i) => {
    const name = `up_samples.${i}`
    level = node(`${name}.0`, 'Conv', [level, filter(`${name}.0`)], pointwise) // half the channels
    level = node(`${name}.1`, 'Resize', [level, '', upsampleScales], trilinear) // twice the extents: the skip's shape
    level = node(`${name}.add`, 'Add', [level, skips.pop()!])
    for (let j = 0; j < blocks; j++) level = residualBlock(level, `up_layers.${i}.${j}`)
  })

  level = groupNormRelu(level, 'conv_final.0')
  node('conv_final.2', 'Conv', [level, filter('conv_final.2'), 'conv_final.2.conv.bias'], pointwise, 'logits')

  return {
    name: 'segresnet',
    nodes,
    initializers: [
      ...segresnetParameters(network).map(({ name, shape }) => float32Tensor(name, shape, weights.get(name)!.data)),
      int64Tensor(groupShape, [0, groups, -1]), // 0 keeps the batch
      vector(groupScale, Array<number>(groups).fill(1)),
      vector(groupShift, Array<number>(groups).fill(0)),
      int64Tensor(spatialAxes, [1, 2, 3]),
      ...(blocksUp.length > 0 ? [vector(upsampleScales, [1, 1, 2, 2, 2])] : []),
    ],
    inputs: [{ name: 'image', shape: ['batch', inChannels, 'x', 'y', 'z'] }],
    outputs: [{ name: 'logits', shape: ['batch', outChannels, 'x', 'y', 'z'] }],
  }
}

/** PyTorch's name of a convolution's filter. */
function filter(name: string): string {
  return `${name}.conv.weight`
}

/** 3 x 3 x 3 with as much padding before as after, also at stride 2. */
function cubic(stride: number): Readonly<Record<string, OnnxAttribute>> {
  return { kernel_shape: [3, 3, 3], pads: [1, 1, 1, 1, 1, 1], strides: [stride, stride, stride] }
}

function vector(name: string, values: readonly number[]): OnnxTensor {
  return float32Tensor(name, [values.length], Float32Array.from(values))
}
