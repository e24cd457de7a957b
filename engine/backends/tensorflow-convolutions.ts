/**
 * 3-D convolutions padded by a number, on kernels that know `same` and `valid` only: TensorFlow's. Zeros go around the input
 * and off its gradient again.
 */

import * as tf from '@tensorflow/tfjs'
import type { KernelFunc, Tensor5D } from '@tensorflow/tfjs'

type Shape = readonly number[]
/** As the engine calls a kernel: its inputs are tensors, and TensorFlow's kernels give tensors. */
type Call = Omit<Parameters<KernelFunc>[0], 'inputs'> & { readonly inputs: Readonly<Record<string, Tensor5D>> }
type Kernel = (call: Call) => Tensor5D

/** How much a convolution pads: a number, which here becomes another padding and zeros of our own. */
interface Padded {
  readonly pad: 'same' | 'valid'
  readonly zeros: number
}

let replaced = false
let peak = 0

/** The most bytes in tensors when a convolution had run, its padded input included: there the most are alive. */
export function peakBytes(): number {
  return peak
}

/** Puts ours in the place of the backend's three kernels, once. */
export function replaceConvolutions(): void {
  if (replaced) return
  replaced = true
  replace('Conv3D', own => ({ inputs, attrs, backend }) => {
    const { pad, zeros } = paddingOf(attrs, inputs['filter']!.shape)
    return tf.tidy(() =>
      own({ inputs: { ...inputs, x: widened(inputs['x']!, zeros) }, attrs: { ...attrs, pad }, backend }),
    )
  })
  replace('Conv3DBackpropFilterV2', own => ({ inputs, attrs, backend }) => {
    const { pad, zeros } = paddingOf(attrs, attrs!['filterShape'] as number[])
    return tf.tidy(() =>
      own({ inputs: { ...inputs, x: widened(inputs['x']!, zeros) }, attrs: { ...attrs, pad }, backend }),
    )
  })
  replace('Conv3DBackpropInputV2', own => ({ inputs, attrs, backend }) => {
    const inputShape = attrs!['inputShape'] as number[]
    const { pad, zeros } = paddingOf(attrs, inputs['filter']!.shape)
    const wide = inputShape.map((extent, axis) => extent + 2 * around(zeros, axis))
    return tf.tidy(() => {
      const dx = own({ inputs, attrs: { ...attrs, pad, inputShape: wide }, backend })
      return zeros === 0
        ? dx
        : tf.slice(
            dx,
            inputShape.map((_, axis) => around(zeros, axis)),
            inputShape,
          )
    })
  })
}

function replace(kernelName: string, make: (own: Kernel) => Kernel): void {
  const { kernelFunc, ...rest } = tf.getKernel(kernelName, 'tensorflow')
  const own = kernelFunc as unknown as Kernel
  const measured: Kernel = call => {
    const output = own(call)
    peak = Math.max(peak, tf.memory().numBytes)
    return output
  }
  tf.unregisterKernel(kernelName, 'tensorflow')
  tf.registerKernel({ ...rest, kernelFunc: make(measured) as unknown as KernelFunc })
}

/** Half a kernel at stride 1 is what `same` means, and spares a copy of the input; what is no number stays as it is. */
function paddingOf(attrs: Call['attrs'], filterShape: Shape): Padded {
  const { pad, strides, dilations } = attrs as {
    pad: 'same' | 'valid' | number
    strides: number | number[]
    dilations?: number | number[]
  }
  if (typeof pad !== 'number') return { pad, zeros: 0 }
  if (pad === 0) return { pad: 'valid', zeros: 0 }
  const steps = [strides, dilations ?? 1].flat()
  const half = filterShape.slice(0, 3).every(extent => extent === 2 * pad + 1)
  return half && steps.every(step => step === 1) ? { pad: 'same', zeros: 0 } : { pad: 'valid', zeros: pad }
}

/** (N, D, H, W, C): zeros on both sides of the extents. */
function widened(x: Tensor5D, zeros: number): Tensor5D {
  if (zeros === 0) return x
  return tf.pad(
    x,
    x.shape.map((_, axis): [number, number] => [around(zeros, axis), around(zeros, axis)]),
  )
}

function around(zeros: number, axis: number): number {
  return axis === 0 || axis === 4 ? 0 : zeros
}
