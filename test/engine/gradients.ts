/** A batch's gradients, which the engine computes sample by sample. */

import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { batchGradients, inputsOf } from '../../engine/gradients.ts'
import * as ops from '../../engine/ops/index.ts'
import { publishedSegresnet, segresnet } from '../../model/segresnet.ts'
import type { DiceCeOptions } from '../../model/loss.ts'
import { skipped, testedBackends, withBackend } from '../support/backends.ts'
import { lossAndGradients, variablesOf } from '../support/network.ts'
import { classes, maxDifference, normals, relativeDistance } from '../support/numbers.ts'
import { publishedLoss } from '../support/options.ts'
import { referenceSlopes, trialWeights, worstSlope, type Slopes } from '../support/slopes.ts'

const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] }
const weights = trialWeights(network)
const count = 3
const extents = [4, 4, 6] as const
const voxels = 4 * 4 * 6
// Chosen so that no ReLU changes sides within the reference's differences.
const image = normals(count * voxels, 'patches')
// The last sample has no lesion.
const label = classes(count * voxels, 2, 'labels').map((value, i) => (i < (count - 1) * voxels ? value : 0))
const losses: Readonly<Record<string, DiceCeOptions>> = {
  'Dice per sample': publishedLoss,
  'Dice over the batch': { ...publishedLoss, batch: true },
  'Jaccard over the batch, weighted': {
    ...publishedLoss,
    batch: true,
    jaccard: true,
    squaredPred: false,
    includeBackground: false,
    lambdaDice: 0.7,
    lambdaCe: 1.3,
  },
}

/** Of the samples [begin, end), as the engine computes them. */
async function found(
  parameters: ReturnType<typeof variablesOf>,
  loss: DiceCeOptions,
  begin = 0,
  end = count,
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const some = {
    image: image.subarray(begin * voxels, end * voxels),
    label: label.subarray(begin * voxels, end * voxels),
    count: end - begin,
    shape: [6, 4, 4] as const,
    cases: [],
  }
  const result = await batchGradients(end - begin, [...parameters.values()], loss, {
    forward: x => segresnet(ops, parameters, x, network),
    read: tensor => tensor.data<'float32'>(),
    inputs: inputsOf(some, [1, ...extents], new Int32Array(voxels)),
  })
  const gradients = await Promise.all(
    result.gradients.map(async gradient => (await gradient.data<'float32'>()).slice()),
  )
  tf.dispose(result.gradients)
  return { loss: result.loss, gradients }
}

const cached = new Map<string, Slopes>()

for (const backend of [...testedBackends, 'webgpu'] as const) {
  const skip = { skip: skipped(backend) }
  for (const [name, loss] of Object.entries(losses)) {
    t.test(`${backend}, ${name}: sample by sample the gradients are the batch's`, skip, t =>
      withBackend(backend, async () => {
        const parameters = variablesOf(network, weights)
        const tensors = tf.memory().numTensors
        const batch = await found(parameters, loss)
        t.equal(tf.memory().numTensors, tensors, 'no tensor is left')
        const whole = await lossAndGradients(network, parameters, image, label, [count, ...extents], loss)
        t.comment(`loss off by ${Math.abs(batch.loss - whole.loss)} from one pass over the batch`)
        t.ok(Math.abs(batch.loss - whole.loss) < 1e-6)
        const names = [...parameters.keys()]
        const worst = Math.max(...names.map((at, i) => relativeDistance(batch.gradients[i]!, whole.gradients.get(at)!)))
        t.comment(`gradients off by ${worst} of their norm from one pass over the batch`)
        t.ok(worst < 1e-5)

        if (!cached.has(name)) {
          cached.set(name, referenceSlopes(network, weights, image, label, [count, ...extents], loss, 4))
        }
        const slopes = cached.get(name)!
        const off = Math.max(...names.map((at, i) => worstSlope(batch.gradients[i]!, slopes.get(at)!)))
        t.comment(`slopes off by ${off} of the gradient's norm from the float64 reference`)
        t.ok(off < 1e-4)
        tf.dispose([...parameters.values()])
      }),
    )
  }

  t.test(`${backend}: a batch's gradients are its samples', added in order, to the last bit`, skip, t =>
    withBackend(backend, async () => {
      const parameters = variablesOf(network, weights)
      const share = { ...publishedLoss, lambdaDice: 1 / count, lambdaCe: 1 / count }
      const alone: Awaited<ReturnType<typeof found>>[] = []
      for (let n = 0; n < count; n++) alone.push(await found(parameters, share, n, n + 1))
      const batch = await found(parameters, publishedLoss)
      t.equal(
        batch.loss,
        alone.reduce((sum, { loss }) => sum + loss, 0),
      )
      const differences = batch.gradients.map((gradient, i) => {
        const sum = alone.slice(1).reduce((total, { gradients }) => {
          return total.map((value, k) => value + gradients[i]![k]!)
        }, alone[0]!.gradients[i]!)
        return maxDifference(gradient, sum)
      })
      t.equal(Math.max(...differences), 0)
      tf.dispose([...parameters.values()])
    }),
  )
}
