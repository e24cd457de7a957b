/** Tensors' types as the kernels take them. */

import type { TensorInfo } from '@tensorflow/tfjs'

/** A caller's bug: other bits would be read as numbers. */
export function checkFloats(tensors: Iterable<TensorInfo | undefined>): void {
  for (const tensor of tensors)
    if (tensor && tensor.dtype !== 'float32') throw new Error(`expected a float32 tensor, found ${tensor.dtype}`)
}

/** Types whose elements are four bytes that any kernel may move. */
export function isMovable({ dtype }: TensorInfo): boolean {
  return dtype === 'float32' || dtype === 'int32'
}
