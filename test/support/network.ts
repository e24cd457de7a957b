/** A network's parameters as tensors, for tests below the engine. Loads TensorFlow.js. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor5D, Variable } from '@tensorflow/tfjs'
import * as ops from '../../engine/ops/index.ts'
import type { DiceCeOptions } from '../../model/loss.ts'
import { segresnet, segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import { engineShape, fromEngineOrder, toEngineOrder } from '../../model/weights.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import type { ReferenceParameters } from '../reference/segresnet.ts'

/** Variables by PyTorch's names, in the engine's axis order. The caller disposes them. */
export function variablesOf(network: SegresnetOptions, weights: Tensors): Map<string, Variable> {
  return new Map(
    segresnetParameters(network).map(({ name, shape }) => {
      const data = toEngineOrder(weights.get(name)!.data, shape)
      return [name, tf.tidy(() => tf.variable(tf.tensor(data, engineShape(shape))))]
    }),
  )
}

/** The same for the float64 reference. */
export function referenceParameters(network: SegresnetOptions, weights: Tensors): ReferenceParameters {
  return new Map(
    segresnetParameters(network).map(({ name, shape }) => [
      name,
      { data: Float64Array.from(toEngineOrder(weights.get(name)!.data, shape)), shape: engineShape(shape) },
    ]),
  )
}

export interface LossAndGradients {
  readonly loss: number
  /** By name, in the engine's axis order. */
  readonly gradients: ReadonlyMap<string, Float32Array>
  /** Of the batch (N, z, y, x). */
  readonly input: Float32Array
}

/** Loss and gradients of the network on a batch (N, z, y, x), by the tape. */
export async function lossAndGradients(
  network: SegresnetOptions,
  parameters: ReadonlyMap<string, Variable>,
  image: Float32Array,
  label: Uint8Array,
  shapeNZYX: [number, number, number, number],
  loss: DiceCeOptions,
): Promise<LossAndGradients> {
  const x = tf.tensor(image, [...shapeNZYX, 1]) as Tensor5D
  const labels = tf.tensor4d(Int32Array.from(label), shapeNZYX, 'int32')
  const { value, grads } = tf.valueAndGrads(input =>
    ops.diceCrossEntropy(segresnet(ops, parameters, input as Tensor5D, network), labels, loss),
  )([x, ...parameters.values()])
  const values = await Promise.all(grads.map(async gradient => (await gradient.data<'float32'>()).slice()))
  const result = {
    loss: (await value.data())[0]!,
    gradients: new Map([...parameters.keys()].map((name, i) => [name, values[i + 1]!])),
    input: values[0]!,
  }
  tf.dispose([x, labels, value, ...grads])
  return result
}

/** A gradient in PyTorch's axis order. */
export function inTorchOrder(network: SegresnetOptions, name: string, gradient: Float32Array): Float32Array {
  const { shape } = segresnetParameters(network).find(spec => spec.name === name)!
  return fromEngineOrder(gradient, shape)
}
