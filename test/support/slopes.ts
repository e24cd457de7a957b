/** Slopes of a network's loss by finite differences of the float64 reference. Loads TensorFlow.js. */

import { segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import type { DiceCeOptions } from '../../model/loss.ts'
import { initialWeights } from '../../model/init.ts'
import { rng } from '../../pipeline/random.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import { layers, lossFrom, states, type ReferenceParameters, type Values } from '../reference/segresnet.ts'
import { referenceParameters } from './network.ts'
import { norm, normals } from './numbers.ts'

/** By parameter, in the engine's axis order. */
export type Slopes = ReadonlyMap<string, readonly { readonly direction: Float64Array; readonly slope: number }[]>

/** Initial weights whose norms are not all ones and zeros. */
export function trialWeights(network: SegresnetOptions): Tensors {
  const weights = initialWeights(segresnetParameters(network), 3)
  for (const { name, kind } of segresnetParameters(network)) {
    const { data } = weights.get(name)!
    if (kind === 'scale' || kind === 'shift') normals(data.length, name, 0.1).forEach((value, i) => (data[i]! += value))
  }
  return weights
}

/** For each parameter: random directions of unit variance and the reference's slope of the loss along them. */
export function referenceSlopes(
  network: SegresnetOptions,
  weights: Tensors,
  image: Float32Array,
  label: Uint8Array,
  shapeNZYX: readonly [number, number, number, number],
  loss: DiceCeOptions,
  directions: number,
): Slopes {
  const parameters = referenceParameters(network, weights)
  const list = layers(network)
  const x: Values = { data: Float64Array.from(image), shape: [...shapeNZYX, 1] }
  const before = states(list, parameters, x)
  const slopes = new Map<string, { direction: Float64Array; slope: number }[]>()
  list.forEach((layer, at) => {
    for (const name of layer.names) {
      const { data, shape: own } = parameters.get(name)!
      const lossAt = (step: number, direction: Float64Array): number => {
        const moved = new Map(parameters) as Map<string, { data: Float64Array; shape: readonly number[] }>
        moved.set(name, { data: data.map((value, i) => value + step * direction[i]!), shape: own })
        return lossFrom(list, at, before[at]!, moved as ReferenceParameters, label, loss)
      }
      // Small enough that hardly a ReLU changes sides, large enough for float64's differences.
      const h = 1e-5 / Math.sqrt(data.length)
      slopes.set(
        name,
        Array.from({ length: directions }, (_, k) => {
          const draws = rng(5, 0, k, name)
          const direction = Float64Array.from(data, () => draws.normal())
          return { direction, slope: (lossAt(h, direction) - lossAt(-h, direction)) / (2 * h) }
        }),
      )
    }
  })
  return slopes
}

/** The largest error of a gradient's slopes, as a share of its norm: a slope along a random direction is as large, in the mean. */
export function worstSlope(gradient: Float32Array, slopes: NonNullable<ReturnType<Slopes['get']>>): number {
  const length = norm(gradient)
  return slopes.reduce((largest, { direction, slope }) => {
    const found = direction.reduce((sum, value, i) => sum + value * gradient[i]!, 0)
    return Math.max(largest, Math.abs(found - slope) / length)
  }, 0)
}
