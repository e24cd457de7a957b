/** The kernels that are native from end to end. Those that serve only some calls are in elementwise.ts. */

import { adamUpdate } from './adam.ts'
import {
  conv3d,
  conv3dFilterGradient,
  conv3dInputGradient,
  normReluConv3d,
  normReluConv3dFilterGradient,
} from './conv3d.ts'
import { diceCrossEntropy, diceSums } from './dice-cross-entropy.ts'
import { groupNormRelu, groupNormReluGrad, groupNormStatistics } from './group-norm.ts'
import { upsampleTrilinear2, upsampleTrilinear2Grad } from './upsample.ts'

export { partialKernels, type PartialKernel } from './elementwise.ts'
export type { Call, KernelBackend } from './kernel.ts'

export const nativeKernels = [
  conv3d,
  conv3dInputGradient,
  conv3dFilterGradient,
  normReluConv3d,
  normReluConv3dFilterGradient,
  groupNormRelu,
  groupNormReluGrad,
  groupNormStatistics,
  upsampleTrilinear2,
  upsampleTrilinear2Grad,
  diceCrossEntropy,
  diceSums,
  adamUpdate,
]
