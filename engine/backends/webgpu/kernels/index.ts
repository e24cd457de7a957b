/** The kernels that are our own, whole or for some calls. All others are TensorFlow.js'. */

import type { KernelConfig } from '@tensorflow/tfjs'
import { adamUpdate } from './adam.ts'
import { conv3dKernels } from './conv3d/index.ts'
import { concat, pack, pad, slice, tile, transpose, unpack } from './copy.ts'
import { diceCrossEntropy } from './dice-cross-entropy.ts'
import { diceSums } from './dice-sums.ts'
import { elementwise } from './elementwise.ts'
import { fill, onesLike, zerosLike } from './fill.ts'
import { groupNormReluGrad } from './group-norm-gradient.ts'
import { groupNormRelu, groupNormStatistics } from './group-norm.ts'
import { adopted, type PartialKernel } from './partial.ts'
import { softmax } from './softmax.ts'
import { sum } from './sum.ts'
import { upsampleTrilinear2, upsampleTrilinear2Grad } from './upsample.ts'

export const gpuKernels: readonly KernelConfig[] = [
  adamUpdate,
  ...conv3dKernels,
  groupNormStatistics,
  groupNormRelu,
  groupNormReluGrad,
  upsampleTrilinear2,
  upsampleTrilinear2Grad,
  diceCrossEntropy,
  diceSums,
]

/** By TensorFlow.js' names. */
const partialKernels: Readonly<Record<string, PartialKernel>> = {
  ...elementwise,
  Sum: sum,
  Softmax: softmax,
  Fill: fill,
  ZerosLike: zerosLike,
  OnesLike: onesLike,
  PadV2: pad,
  Tile: tile,
  Slice: slice,
  Concat: concat,
  Transpose: transpose,
  Pack: pack,
  Unpack: unpack,
}

/** What to register for the backend, given TensorFlow.js' kernels for it. */
export function kernelsOver(upstream: readonly KernelConfig[]): readonly KernelConfig[] {
  const own = new Set(gpuKernels.map(({ kernelName }) => kernelName))
  const others = upstream.filter(({ kernelName }) => !own.has(kernelName))
  return [...gpuKernels, ...others.map(config => adopted(config, partialKernels[config.kernelName]))]
}
