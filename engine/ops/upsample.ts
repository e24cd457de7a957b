/**
 * Twice the size along D, H and W by linear interpolation, PyTorch's align_corners=False: between two voxels the weights
 * are 3/4 and 1/4, the outermost voxels are repeated.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor3D, Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import { hasKernel, operation, runKernel } from './kernel.ts'

/** up(x) + skip as one operation, x (N, D, H, W, C), skip (N, 2D, 2H, 2W, C). Its gradient needs nothing saved. */
export function upsampleAdd(x: Tensor5D, skip: Tensor5D): Tensor5D {
  return operation(
    [x, skip],
    () => upsample(x, skip),
    // The skip's gradient is dy itself: a second handle on the same values, since this one is freed.
    dy => [upsampleGradient(dy), dy.clone()],
  )
}

/** up(x), or up(x) + skip. Not differentiable. */
export function upsample(x: Tensor5D, skip?: Tensor5D): Tensor5D {
  if (hasKernel('UpsampleTrilinear2')) {
    return runKernel('UpsampleTrilinear2', skip ? { x, skip } : { x }, {})[0] as Tensor5D
  }
  return tf.tidy(() => {
    const up = alongEachAxis(x, doubleAxis)
    return skip ? up.add(skip) : up
  })
}

/** Gradient for x: (N, 2D, 2H, 2W, C) to (N, D, H, W, C). Not differentiable. */
export function upsampleGradient(dy: Tensor5D): Tensor5D {
  if (hasKernel('UpsampleTrilinear2Grad')) return runKernel('UpsampleTrilinear2Grad', { dy }, {})[0] as Tensor5D
  return tf.tidy(() => alongEachAxis(dy, halveAxis))
}

/** Applies a change of one axis, seen as the middle of (outer, n, inner), to D, H and W. */
function alongEachAxis(x: Tensor5D, change: (lines: Tensor3D) => Tensor): Tensor5D {
  let tensor = x
  for (const axis of [1, 2, 3]) {
    const shape = [...tensor.shape]
    const outer = shape.slice(0, axis).reduce((a, b) => a * b)
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b)
    const changed = change(tensor.reshape([outer, shape[axis]!, inner]))
    shape[axis] = changed.size / (outer * inner)
    tensor = changed.reshape(shape as Tensor5D['shape'])
  }
  return tensor
}

function doubleAxis(x: Tensor3D): Tensor {
  const [outer, n, inner] = x.shape
  const before = tf.concat([x.slice([0, 0, 0], [outer, 1, inner]), x.slice([0, 0, 0], [outer, n - 1, inner])], 1)
  const after = tf.concat([x.slice([0, 1, 0], [outer, n - 1, inner]), x.slice([0, n - 1, 0], [outer, 1, inner])], 1)
  const near = x.mul(0.75)
  return tf.stack([near.add(before.mul(0.25)), near.add(after.mul(0.25))], 2) // (outer, n, 2, inner)
}

/** The transpose of `doubleAxis`. */
function halveAxis(dy: Tensor3D): Tensor {
  const [outer, twice, inner] = dy.shape
  const n = twice / 2
  const [even, odd] = tf.unstack(dy.reshape([outer, n, 2, inner]) as Tensor4D, 2) as [Tensor3D, Tensor3D]
  const fromEven = tf.concat(
    [even.slice([0, 1, 0], [outer, n - 1, inner]), odd.slice([0, n - 1, 0], [outer, 1, inner])],
    1,
  )
  const fromOdd = tf.concat([even.slice([0, 0, 0], [outer, 1, inner]), odd.slice([0, 0, 0], [outer, n - 1, inner])], 1)
  return even.add(odd).mul(0.75).add(fromEven.add(fromOdd).mul(0.25))
}
