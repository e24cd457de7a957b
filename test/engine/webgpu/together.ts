/** A batch whose samples a GPU computes together, against one after the other. */

import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { batchGradients, inputsOf } from '../../../engine/gradients.ts'
import * as ops from '../../../engine/ops/index.ts'
import { openSession } from '../../../engine/session.ts'
import type { DiceCeOptions } from '../../../model/loss.ts'
import { publishedSegresnet, segresnet } from '../../../model/segresnet.ts'
import { skipped, softwareAdapter, withBackend } from '../../support/backends.ts'
import { variablesOf } from '../../support/network.ts'
import { classes, normals } from '../../support/numbers.ts'
import { engineOptions, publishedLoss } from '../../support/options.ts'
import { trialWeights } from '../../support/slopes.ts'

const skip = { skip: skipped('webgpu') }
const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1], dropout: 0.4 }
const count = 3
const voxels = 8 * 6 * 4
const batch = {
  image: normals(count * voxels, 'image'),
  // The last sample has no lesion.
  label: classes(count * voxels, 2, 'label').map((value, i) => (i < (count - 1) * voxels ? value : 0)),
  count,
  shape: [8, 6, 4] as const,
  cases: ['a', 'b', 'c'],
}
const losses: Readonly<Record<string, DiceCeOptions>> = {
  'Dice per sample': publishedLoss,
  'Dice over the batch': { ...publishedLoss, batch: true },
  'Jaccard, weighted': { ...publishedLoss, jaccard: true, squaredPred: false, lambdaDice: 0.7, lambdaCe: 1.3 },
}

for (const [name, options] of Object.entries(losses))
  t.test(`${name}: loss and gradients are the same to the last bit`, skip, t =>
    withBackend('webgpu', async () => {
      const parameters = variablesOf(network, trialWeights(network))
      const found = async (together: boolean): Promise<[number, Float32Array[]]> => {
        const { loss, gradients } = await batchGradients(
          count,
          [...parameters.values()],
          options,
          {
            forward: (x, firstSample) => segresnet(ops, parameters, x, network, { seed: 5, step: 2, firstSample }),
            read: tensor => tensor.data<'float32'>(),
            inputs: inputsOf(batch, [1, 4, 6, 8], new Int32Array(count * voxels)),
          },
          together,
        )
        const values = await Promise.all(gradients.map(async tensor => (await tensor.data<'float32'>()).slice()))
        tf.dispose(gradients)
        return [loss, values]
      }
      const before = tf.memory().numTensors
      const [loss, gradients] = await found(true)
      const [expectedLoss, expected] = await found(false)
      t.equal(loss, expectedLoss)
      t.equal(gradients.length, expected.length)
      const names = [...parameters.keys()]
      for (const [i, values] of gradients.entries())
        t.ok(Buffer.from(values.buffer).equals(Buffer.from(expected[i]!.buffer)), names[i])
      t.ok(gradients.some(values => values.some(value => value !== 0)))
      t.equal(tf.memory().numTensors, before, 'no tensor is left')
      tf.dispose([...parameters.values()])
    }),
  )

t.test('where a batch does not fit, its samples are computed one by one, with the same losses', skip, async t => {
  const told: { losses: number[]; peak: number; need: number; live: number; tensors: number }[] = []
  const samples = 8
  const size = 8 * 8 * 4
  const many = {
    image: normals(samples * size, 'images'),
    label: classes(samples * size, 2, 'labels'),
    count: samples,
    shape: [8, 8, 4] as const,
    cases: [],
  }
  const run = async (gpuMemory?: number): Promise<void> => {
    const device = {
      backend: 'webgpu',
      adapter: softwareAdapter,
      ...(gpuMemory !== undefined && { gpuMemory }),
    } as const
    const session = await openSession(engineOptions({ ...device, network }))
    try {
      const { deviceBytes: need } = await session.need({ step: { patch: many.shape, batch: samples }, windows: [] })
      const losses = []
      for (let i = 0; i < 2; i++) losses.push((await session.step(many)).loss)
      const { peakDeviceBytes: peak, liveBytes: live, liveTensors: tensors } = await session.report()
      told.push({ losses, need, peak, live, tensors })
    } finally {
      session.close()
    }
  }
  await run()
  const limit = told[0]!.need
  t.ok(limit < 0.5 * told[0]!.peak)
  await run(limit)
  t.comment(`${told[0]!.peak} bytes together; ${told[1]!.peak} with at most ${limit}`)
  t.same(told[1]!.losses, told[0]!.losses)
  t.ok(told[1]!.peak <= limit)
  t.equal(told[1]!.tensors, told[0]!.tensors, 'what failed has left no tensor')
  t.equal(told[1]!.live, told[0]!.live)
})
