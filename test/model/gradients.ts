/** The network's gradients, whole, against finite differences of the float64 reference. */

import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { publishedSegresnet } from '../../model/segresnet.ts'
import { skipped, testedBackends, withBackend } from '../support/backends.ts'
import { lossAndGradients, variablesOf } from '../support/network.ts'
import { classes, normals } from '../support/numbers.ts'
import { publishedLoss } from '../support/options.ts'
import { referenceSlopes, trialWeights, worstSlope, type Slopes } from '../support/slopes.ts'

const network = { ...publishedSegresnet, blocksDown: [1, 1, 1], blocksUp: [1, 1] }
const directions = 20

const weights = trialWeights(network)
const shape: [number, number, number, number] = [1, 8, 4, 8]
const image = normals(8 * 4 * 8, 'image')
const label = classes(8 * 4 * 8, 2, 'label')

let cached: Slopes | undefined

for (const backend of [...testedBackends, 'webgpu'] as const) {
  t.test(`${backend}: gradients agree with finite differences`, { skip: skipped(backend) }, t =>
    withBackend(backend, async () => {
      cached ??= referenceSlopes(network, weights, image, label, shape, publishedLoss, directions)
      const parameters = variablesOf(network, weights)
      const { gradients } = await lossAndGradients(network, parameters, image, label, shape, publishedLoss)
      t.same([...cached.keys()].toSorted(), [...gradients.keys()].toSorted(), 'every parameter is tried')
      for (const [name, gradient] of gradients) {
        const worst = worstSlope(gradient, cached.get(name)!)
        t.ok(worst < 1e-4, `${name}: worst of ${directions} directions off by ${worst} of the gradient's norm`)
      }
      tf.dispose([...parameters.values()])
    }),
  )
}
