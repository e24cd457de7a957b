/** What work will take in memory, found out before it is done. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import { PipelineError, messageOf } from '../pipeline/errors.ts'
import type { EngineWork } from '../pipeline/engine.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { StartedBackend } from './backend.ts'

/** A session's computations, without what they are for: everything that they make is gone afterwards. */
export interface Passes {
  /** Forward and back over some samples, one by one or together; `inputs` gives image (N, z, y, x, 1) and labels (N, z, y, x). */
  gradients(count: number, inputs: (first: number, samples: number) => [Tensor5D, Tensor4D], together?: boolean): void
  logits(x: Tensor5D): void
}

/** From the third sample on every sample is like the one before it: it adds to gradients that are there. */
const samplesAlike = 3

/** Kept memory is bounded by what was in use, so what is held stops growing after a few rounds. */
const mostRounds = 8

/** The largest windows decide; each takes some milliseconds to rehearse, and a data set may have a size for every case. */
const mostWindows = 16

/**
 * Most bytes of tensors, of what is kept for the next ones and of what kernels work in, parameters excluded. ERR_DEFINITION
 * where no machine has such tensors. Any extents divisible by `divisor` can be.
 */
export async function bytesOfWork(
  work: EngineWork,
  passes: Passes,
  backend: StartedBackend,
  divisor: number,
): Promise<number> {
  return backend.rehearse ? rehearsed(work, passes, backend.rehearse) : extrapolated(work, passes, divisor)
}

/** Steps and windows in turns, as in a training that validates, by kernels that compute nothing. */
function rehearsed(
  { step, windows }: EngineWork,
  passes: Passes,
  rehearse: NonNullable<StartedBackend['rehearse']>,
): number {
  const sizes = distinct(windows)
  const largest = sizes.toSorted((a, b) => voxelsOf(b) - voxelsOf(a)).slice(0, mostWindows)
  const inOrder = sizes.filter(window => largest.includes(window))
  return rehearse(peak => {
    for (let round = 0, before = -1; round < mostRounds && peak() > before; round++) {
      before = peak()
      if (step) {
        const { patch, batch, together = false } = step
        const count = together ? batch : Math.min(batch, samplesAlike)
        possible(patch, () => {
          for (let i = 0; i < 2; i++) passes.gradients(count, (_, samples) => untouched(patch, samples), together)
        })
      }
      for (const window of inOrder) possible(window, () => tf.tidy(() => passes.logits(untouched(window)[0])))
    }
  })
}

/** In the order in which each comes first. */
function distinct(shapes: readonly Shape3[]): Shape3[] {
  return [...new Map(shapes.map(shape => [shape.join(), shape])).values()]
}

export function voxelsOf([x, y, z]: Shape3): number {
  return x * y * z
}

/** Samples on fresh memory, which takes room only where somebody touches it. */
function untouched(shape: Shape3, samples = 1): [Tensor5D, Tensor4D] {
  const [x, y, z] = shape
  const voxels = samples * voxelsOf(shape)
  return [
    tf.tensor5d(new Float32Array(voxels), [samples, z, y, x, 1]),
    tf.tensor4d(new Int32Array(voxels), [samples, z, y, x], 'int32'),
  ]
}

function possible(shape: Shape3, work: () => void): void {
  try {
    work()
  } catch (cause) {
    // The runtime's and the addon's word for an array that cannot be, and ours for one that the system refuses.
    if (!(cause instanceof RangeError || (cause instanceof PipelineError && cause.code === 'ERR_ENGINE'))) throw cause
    throw new PipelineError(
      'ERR_DEFINITION',
      `a patch or window of ${shape.join(' x ')} voxels needs larger tensors than there can be: ${messageOf(cause)}${cause instanceof PipelineError ? '' : '; choose smaller extents'}`,
      { shape },
      { cause },
    )
  }
}

/**
 * An estimate where kernels cannot be kept from computing: every tensor is as large as the patch or does not depend on it,
 * so what lives after a kernel is linear in the voxels, and two small patches tell it of any.
 */
async function extrapolated({ step, windows }: EngineWork, passes: Passes, divisor: number): Promise<number> {
  const peaks = [0]
  if (step) {
    const count = Math.min(step.batch, samplesAlike)
    peaks.push((await linear(divisor, inputs => passes.gradients(count, inputs)))(step.patch))
  }
  if (windows.length > 0) {
    const bytes = await linear(divisor, inputs => tf.tidy(() => passes.logits(inputs()[0])))
    peaks.push(...windows.map(bytes))
  }
  return Math.max(...peaks)
}

/** The most bytes that live at once in a pass, as a function of the extents. */
async function linear(
  divisor: number,
  pass: (inputs: () => [Tensor5D, Tensor4D]) => void,
): Promise<(shape: Shape3) => number> {
  const unit = divisor ** 3
  const once = await liveBytes(() => pass(() => untouched([divisor, divisor, divisor])))
  const twice = await liveBytes(() => pass(() => untouched([2 * divisor, divisor, divisor])))
  return shape => Math.max(...once.map((bytes, i) => bytes + (twice[i]! - bytes) * (voxelsOf(shape) / unit - 1)))
}

/** Bytes in tensors after each kernel, without those that were there before. */
async function liveBytes(pass: () => void): Promise<number[]> {
  const before = tf.memory().numBytes
  const checked = tf.env().getBool('CHECK_COMPUTATION_FOR_ERRORS')
  // A profile looks for NaN in every output and says so on the console.
  tf.env().set('CHECK_COMPUTATION_FOR_ERRORS', false)
  try {
    const { kernels, result } = await tf.profile(() => {
      pass()
      return tf.scalar(0) // its type wants a tensor
    })
    tf.dispose(result)
    return kernels.map(({ totalBytesSnapshot }) => totalBytesSnapshot - before)
  } finally {
    tf.env().set('CHECK_COMPUTATION_FOR_ERRORS', checked)
  }
}
