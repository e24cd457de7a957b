/** A training step and an inference on the webgpu backend: which kernels they run, and the bits of a batch. */

import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { batchGradients, inputsOf } from '../../../engine/gradients.ts'
import * as ops from '../../../engine/ops/index.ts'
import type { EngineOptions } from '../../../engine/options.ts'
import { openSession } from '../../../engine/session.ts'
import { publishedSegresnet, segresnet } from '../../../model/segresnet.ts'
import type { Shape3 } from '../../../pipeline/grid.ts'
import { skipped, softwareAdapter, withBackend } from '../../support/backends.ts'
import { variablesOf } from '../../support/network.ts'
import { classes, maxDifference, normals } from '../../support/numbers.ts'
import { engineOptions, publishedLoss } from '../../support/options.ts'
import { trialWeights } from '../../support/slopes.ts'

const skip = { skip: skipped('webgpu') }

const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] }
const shape: Shape3 = [8, 6, 4]
const voxels = 8 * 6 * 4
const count = 2
const image = normals(count * voxels, 'image')
const label = classes(count * voxels, 2, 'label')
const batch = { image, label, count, shape, cases: ['a', 'b'] }

async function results(options: Partial<EngineOptions>): Promise<{
  losses: number[]
  logits: Float32Array
  fallbacks: Readonly<Record<string, number>>
}> {
  const session = await openSession(engineOptions(options))
  try {
    const losses = []
    for (let i = 0; i < 3; i++) losses.push((await session.step(batch)).loss)
    const logits = await session.infer(image, count, shape)
    return { losses, logits, fallbacks: (await session.report()).fallbacks }
  } finally {
    session.close()
  }
}

t.test('a step and an inference run no kernel of TensorFlow.js but those that move no number', skip, async t => {
  const options = {
    network: { ...network, dropout: 0.3 },
    loss: { ...publishedLoss, batch: true },
  }
  const found = await results({ ...options, backend: 'webgpu', adapter: softwareAdapter })
  t.same(found.fallbacks, {})
  const expected = await results({ ...options, backend: 'cpu' })
  t.comment(`losses ${found.losses.join(', ')}; on the cpu backend ${expected.losses.join(', ')}`)
  t.ok(maxDifference(found.losses, expected.losses) < 1e-5)
  t.ok(maxDifference(found.logits, expected.logits) < 1e-3)
})

t.test('weights that are not finite make no loss that is', skip, async t => {
  const session = await openSession(engineOptions({ network, backend: 'webgpu', adapter: softwareAdapter }))
  t.teardown(() => session.close())
  const weights = await session.save()
  // Each is read by another kernel; a ReLU must not make zeros of them.
  for (const name of [
    'convInit.conv',
    'down_layers.0.1.norm1',
    'down_layers.1.1.norm2',
    'up_samples.0.0.conv',
    'conv_final.0',
  ])
    for (const bad of [NaN, Infinity]) {
      const spoiled = [...weights].map(([key, { shape: extents, data }]) => {
        const values = key === `${name}.weight` ? data.slice().fill(bad) : data
        return [key, { shape: extents, data: values }] as const
      })
      t.ok(spoiled.some(([, { data }]) => Object.is(data[0], bad)))
      await session.load(new Map(spoiled))
      await t.rejects(session.step(batch), { code: 'ERR_ENGINE', message: /the loss of step 1 is/ }, `${name}: ${bad}`)
    }
})

t.test("a batch's gradients are its samples', added in order, to the last bit", skip, t =>
  withBackend('webgpu', async () => {
    const network = { ...publishedSegresnet, blocksDown: [1], blocksUp: [] }
    const parameters = variablesOf(network, trialWeights(network))
    const found = async (begin: number, end: number, share: number): Promise<[number, Float32Array[]]> => {
      const some = {
        ...batch,
        image: image.subarray(begin * voxels, end * voxels),
        label: label.subarray(begin * voxels, end * voxels),
        count: end - begin,
      }
      const options = { ...publishedLoss, lambdaDice: share, lambdaCe: share }
      const { loss, gradients } = await batchGradients(end - begin, [...parameters.values()], options, {
        forward: x => segresnet(ops, parameters, x, network),
        read: tensor => tensor.data<'float32'>(),
        inputs: inputsOf(some, [1, 4, 6, 8], new Int32Array(voxels)),
      })
      const values = await Promise.all(gradients.map(async tensor => (await tensor.data<'float32'>()).slice()))
      tf.dispose(gradients)
      return [loss, values]
    }
    const before = tf.memory().numTensors
    const [loss, gradients] = await found(0, 2, 1)
    const [first, second] = [await found(0, 1, 0.5), await found(1, 2, 0.5)]
    t.equal(loss, first[0] + second[0])
    const sums = first[1].map((values, i) => values.map((value, k) => value + second[1][i]![k]!))
    t.equal(Math.max(...gradients.map((values, i) => maxDifference(values, sums[i]!))), 0)
    t.equal(tf.memory().numTensors, before, 'no tensor is left')
    tf.dispose([...parameters.values()])
  }),
)
