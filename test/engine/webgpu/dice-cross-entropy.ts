/** Dice + cross-entropy on the webgpu backend: more classes and voxels than in the conformance tests, and a batch's sums. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import t from 'tap'
import { addSums, diceCrossEntropyParts, diceSums, type LossParts } from '../../../engine/ops/dice-cross-entropy.ts'
import type { Shape5 } from '../../reference/conv3d.ts'
import { diceCrossEntropy as reference, softmax } from '../../reference/dice-ce.ts'
import { skipped, withBackend } from '../../support/backends.ts'
import { classes, normals, relativeDistance } from '../../support/numbers.ts'
import { publishedLoss } from '../../support/options.ts'

const skip = { skip: skipped('webgpu') }

function inputs(logits: Float32Array, labels: ArrayLike<number>, shape: Shape5): [Tensor5D, Tensor4D] {
  const [n, d, h, w, count] = shape
  return [tf.tensor5d(logits, [n, d, h, w, count]), tf.tensor4d(Int32Array.from(labels), [n, d, h, w], 'int32')]
}

function refusal(message: RegExp): { code: string; message: RegExp } {
  return { code: 'ERR_ENGINE', message }
}

function ofZeros(shape: Shape5, labels: Tensor): () => LossParts {
  return () => diceCrossEntropyParts(tf.zeros([...shape]), labels as Tensor4D, publishedLoss)
}

async function valuesOf({ loss, dice, crossEntropy, dlogits }: LossParts): Promise<Float32Array[]> {
  const tensors: Tensor[] = [loss, dice, crossEntropy, dlogits]
  const values = await Promise.all(tensors.map(async tensor => (await tensor.data<'float32'>()).slice()))
  tf.dispose(tensors)
  return values
}

for (const [shape, change] of [
  [[2, 3, 7, 61, 2], {}], // two chunks of voxels
  [[2, 3, 5, 7, 3], { jaccard: true }],
  [[1, 5, 17, 29, 5], { batch: true, includeBackground: false, squaredPred: false }],
  [[2, 2, 5, 7, 32], { smoothNr: 0, lambdaDice: 0.3 }],
] as [Shape5, object][]) {
  t.test(`${shape.join(' x ')}, ${JSON.stringify(change)}`, skip, t =>
    withBackend('webgpu', async () => {
      const count = shape[4]
      const logits = normals(shape.reduce((a, b) => a * b), 'logits', 4) // prettier-ignore
      const labels = classes(logits.length / count, count, 'labels')
      const options = { ...publishedLoss, ...change }
      const expected = reference(logits, labels, shape, options)
      const before = tf.memory().numTensors
      const tensors = inputs(logits, labels, shape)
      const [loss, dice, crossEntropy, dlogits] = await valuesOf(diceCrossEntropyParts(...tensors, options))
      tf.dispose(tensors)
      t.equal(tf.memory().numTensors, before, 'no tensor is left')
      const off = [
        relativeDistance(loss!, [expected.loss]),
        relativeDistance(dice!, [expected.dice]),
        relativeDistance(crossEntropy!, [expected.crossEntropy]),
        relativeDistance(dlogits!, expected.dlogits),
      ]
      t.comment(`loss, Dice, cross-entropy and dlogits off by ${off.join(', ')}`)
      t.ok(Math.max(...off.slice(0, 3)) < 1e-6)
      t.ok(off[3]! < 5e-6)
    }),
  )
}

t.test('sums over 1.6 million voxels are within 1e-6 of float64', skip, t =>
  withBackend('webgpu', async () => {
    const [voxels, count] = [224 * 224 * 32, 2]
    const draws = normals(100_003, 'logits', 3)
    const logits = Float32Array.from({ length: voxels * count }, (_, i) => draws[i % draws.length]!)
    const labels = Uint8Array.from({ length: voxels }, (_, i) => (i % 9 === 0 ? 1 : 0))
    const expected = new Float64Array(3 * count)
    const p = softmax(logits, count)
    let negativeLog = 0
    for (let v = 0; v < voxels; v++) {
      negativeLog -= Math.log(p[v * count + labels[v]!]!)
      for (let c = 0; c < count; c++) {
        if (labels[v] === c) {
          expected[c]! += p[v * count + c]!
          expected[count + c]! += 1
        }
        expected[2 * count + c]! += p[v * count + c]! ** 2
      }
    }
    const tensors = inputs(logits, labels, [1, 32, 224, 224, count])
    const sums = diceSums(...tensors, publishedLoss) as Tensor
    t.same(sums.shape, [3, count])
    const found = await sums.data<'float32'>()
    const off = Math.max(...expected.map((sum, i) => Math.abs(found[i]! / sum - 1)))
    t.comment(`sums off by ${off}`)
    t.ok(off < 1e-6)
    const { crossEntropy, loss, dice, dlogits } = diceCrossEntropyParts(...tensors, publishedLoss)
    const meanOff = Math.abs(((await crossEntropy.data())[0]! * voxels) / negativeLog - 1)
    t.comment(`cross-entropy off by ${meanOff}`)
    t.ok(meanOff < 1e-6)
    tf.dispose([...tensors, sums, crossEntropy, loss, dice, dlogits])
  }),
)

t.test("samples that come one by one with a batch's sums have the batch's loss and gradient as their mean", skip, t =>
  withBackend('webgpu', async () => {
    const shape: Shape5 = [3, 2, 3, 4, 3]
    const [sample, count] = [24, 3]
    const logits = normals(3 * sample * count, 'logits', 2)
    const labels = classes(3 * sample, count, 'labels')
    const options = { ...publishedLoss, batch: true, lambdaDice: 0.7 }
    const part = (n: number): [Tensor5D, Tensor4D] =>
      inputs(
        logits.subarray(n * sample * count, (n + 1) * sample * count),
        labels.subarray(n * sample, (n + 1) * sample),
        [1, 2, 3, 4, count],
      )
    const expected = reference(logits, labels, shape, options)
    const before = tf.memory().numTensors
    const parts = [part(0), part(1), part(2)]
    const own = parts.map(tensors => diceSums(...tensors, options) as Tensor)
    const sums = tf.tidy(() => own.reduce((a, b) => addSums(a, b) as Tensor))
    const whole = inputs(logits, labels, shape)
    const atOnce = diceSums(...whole, options) as Tensor
    t.ok(relativeDistance(await sums.data(), await atOnce.data()) < 1e-6)
    // Numbers are taken as well.
    const numbers = Float64Array.from(await sums.data<'float32'>())
    for (const given of [sums, numbers]) {
      const found: Float32Array[][] = []
      for (const tensors of parts)
        found.push(await valuesOf(diceCrossEntropyParts(...tensors, options, { sums: given, samples: 3 })))
      const mean = (k: number): number => found.reduce((total, values) => total + values[k]![0]! / 3, 0)
      t.ok(relativeDistance([mean(0)], [expected.loss]) < 1e-6)
      t.ok(relativeDistance([mean(1)], [expected.dice]) < 1e-6)
      t.ok(relativeDistance(found.flatMap(values => [...values[3]!].map(value => value / 3)), expected.dlogits) < 5e-6) // prettier-ignore
    }
    tf.dispose([...parts.flat(), ...own, ...whole, sums, atOnce])
    t.equal(tf.memory().numTensors, before, 'no tensor is left')
  }),
)

t.test('labels that are no class count as the nearest one, and logits that are not finite are not hidden', skip, t =>
  withBackend('webgpu', async () => {
    const shape: Shape5 = [1, 2, 3, 4, 2]
    const logits = normals(48, 'logits')
    const results = async (values: Float32Array, labels: ArrayLike<number>): Promise<Float32Array[]> => {
      const tensors = inputs(values, labels, shape)
      const found = await valuesOf(diceCrossEntropyParts(...tensors, publishedLoss))
      tf.dispose(tensors)
      return found
    }
    const labels = Int32Array.from({ length: 24 }, (_, i) => i % 2)
    const strange = labels.map((label, i) => (i > 7 ? label : label === 1 ? 2 ** 30 : -5))
    t.same(await results(logits, strange), await results(logits, labels))
    for (const value of [NaN, Infinity, -Infinity]) {
      const [loss] = await results(logits.with(17, value), labels)
      t.ok(Number.isNaN(loss![0]), `${value} gives a loss of ${loss![0]}`)
    }
  }),
)

t.test('what does not fit is refused with the words of the native backend', skip, t =>
  withBackend('webgpu', () => {
    tf.tidy(() => {
      const labels = tf.zeros([1, 2, 2, 2], 'int32')
      t.throws(ofZeros([1, 2, 2, 2, 33], labels), refusal(/^DiceCrossEntropy: expected 2 to 32 classes, found 33/))
      t.throws(
        ofZeros([1, 2, 2, 3, 2], labels),
        refusal(/expected labels of shape \(1, 2, 2, 3\), found \(1, 2, 2, 2\)/),
      )
      t.throws(ofZeros([1, 2, 2, 2, 2], labels.toFloat()), /expected an int32 tensor, found float32/)
    })
  }),
)
