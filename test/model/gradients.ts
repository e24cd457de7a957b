/** The network's gradients, whole, against finite differences of the float64 reference. */

import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { initialWeights } from '../../model/init.ts'
import { publishedSegresnet, segresnetParameters } from '../../model/segresnet.ts'
import { rng } from '../../pipeline/random.ts'
import { layers, lossFrom, states, type ReferenceParameters, type Values } from '../reference/segresnet.ts'
import { skipped, withBackend } from '../support/backends.ts'
import { lossAndGradients, referenceParameters, variablesOf } from '../support/network.ts'
import { classes, norm, normals } from '../support/numbers.ts'
import { publishedLoss } from '../support/options.ts'

const network = { ...publishedSegresnet, blocksDown: [1, 1, 1], blocksUp: [1, 1] }
const directions = 20

const weights = initialWeights(segresnetParameters(network), 3)
for (const { name, kind } of segresnetParameters(network)) {
  const { data } = weights.get(name)!
  if (kind === 'scale' || kind === 'shift') normals(data.length, name, 0.1).forEach((value, i) => (data[i]! += value))
}
const shape: [number, number, number, number] = [1, 8, 4, 8]
const image = normals(8 * 4 * 8, 'image')
const label = classes(8 * 4 * 8, 2, 'label')

/** For each parameter: random directions of unit variance and the reference's slope of the loss along them. */
function referenceSlopes(): Map<string, { direction: Float64Array; slope: number }[]> {
  const parameters = referenceParameters(network, weights)
  const list = layers(network)
  const x: Values = { data: Float64Array.from(image), shape: [...shape, 1] }
  const before = states(list, parameters, x)
  const slopes = new Map<string, { direction: Float64Array; slope: number }[]>()
  list.forEach((layer, at) => {
    for (const name of layer.names) {
      const { data, shape: own } = parameters.get(name)!
      const lossAt = (step: number, direction: Float64Array): number => {
        const moved = new Map(parameters) as Map<string, { data: Float64Array; shape: readonly number[] }>
        moved.set(name, { data: data.map((value, i) => value + step * direction[i]!), shape: own })
        return lossFrom(list, at, before[at]!, moved as ReferenceParameters, label, publishedLoss)
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

let cached: ReturnType<typeof referenceSlopes> | undefined

for (const backend of ['cpu', 'native'] as const) {
  t.test(`${backend}: gradients agree with finite differences`, { skip: skipped(backend) }, t =>
    withBackend(backend, () => {
      cached ??= referenceSlopes()
      const parameters = variablesOf(network, weights)
      const { gradients } = lossAndGradients(network, parameters, image, label, shape, publishedLoss)
      t.same([...cached.keys()].toSorted(), [...gradients.keys()].toSorted(), 'every parameter is tried')
      for (const [name, gradient] of gradients) {
        // A slope along a random direction is as large as the gradient's norm, in the mean.
        const length = norm(gradient)
        const worst = cached.get(name)!.reduce((largest, { direction, slope }) => {
          const found = direction.reduce((sum, value, i) => sum + value * gradient[i]!, 0)
          return Math.max(largest, Math.abs(found - slope) / length)
        }, 0)
        t.ok(worst < 1e-4, `${name}: worst of ${directions} directions off by ${worst} of the gradient's norm`)
      }
      tf.dispose([...parameters.values()])
    }),
  )
}
