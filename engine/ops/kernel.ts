/** Kernels by name. An operation here is one kernel call where the backend has it, and a composition where it has not. */

import * as tf from '@tensorflow/tfjs'
import type { NamedAttrMap, NamedTensorMap, Tensor } from '@tensorflow/tfjs'

/** Whether the current backend has a kernel of that name. */
export function hasKernel(name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined
}

/** Runs a kernel that must be there and gives all its outputs. Nothing is recorded for the gradient. */
export function runKernel(name: string, inputs: Record<string, Tensor>, attrs: Record<string, unknown>): Tensor[] {
  const outputs: Tensor | Tensor[] = tf.engine().runKernel(name, inputs as NamedTensorMap, attrs as NamedAttrMap)
  return Array.isArray(outputs) ? outputs : [outputs]
}

/**
 * Frees what a pass that failed had saved for its gradient. TensorFlow.js leaves the tape as it is, with tensors that outlive every
 * tidy.
 */
export function abandonTape(): void {
  const { state } = tf.engine() as unknown as { state: { activeTape?: readonly { readonly saved?: Tensor[] }[] } }
  for (const { saved } of state.activeTape ?? []) tf.dispose(saved ?? [])
  delete state.activeTape
}

/**
 * Wraps a function as one differentiable operation.
 *
 * The gradient owns what the tape hands it: `dy` and the tensors saved. tfjs would keep all of them until the whole
 * backward pass is over, although nobody reads them again; here they go as soon as the gradient is done with them. So a
 * `dy` of one's own, as `tf.grads(f)(xs, dy)` takes it, is freed too: end in a scalar instead. `forward` saves last: what is
 * saved by a call that then fails is on nobody's tape.
 */
export function operation<Out extends Tensor>(
  inputs: Tensor[],
  forward: (save: (tensors: Tensor[]) => void) => Out,
  gradient: (dy: Out, saved: Tensor[]) => Tensor[],
): Out {
  const apply = tf.customGrad((...args: unknown[]) => ({
    value: forward(args[args.length - 1] as (tensors: Tensor[]) => void),
    gradFunc: (dy: Tensor, saved: Tensor[]) => {
      const gradients = tf.tidy(() => gradient(dy as Out, saved))
      tf.dispose([dy, ...saved])
      return gradients
    },
  }))
  return apply(...inputs) as Out
}
