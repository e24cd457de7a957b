/** Group norm and up-sampling on the webgpu backend: channels and extents beyond those of the conformance tests. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import t from 'tap'
import { normalise, statisticsOf } from '../../../engine/ops/group-norm-relu.ts'
import { runKernel } from '../../../engine/ops/kernel.ts'
import { upsample, upsampleGradient } from '../../../engine/ops/upsample.ts'
import * as reference from '../../reference/group-norm.ts'
import { upsample2, upsample2Gradient } from '../../reference/upsample.ts'
import { skipped, withBackend } from '../../support/backends.ts'
import { maxDifference, normals, relativeDistance } from '../../support/numbers.ts'

type Shape5 = [number, number, number, number, number]
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
const skip = { skip: skipped('webgpu') }

function refusal(message: RegExp): { code: string; message: RegExp } {
  return { code: 'ERR_ENGINE', message }
}

function statistics(x: Tensor, groups: number): () => Tensor[] {
  return () => runKernel('GroupNormStatistics', { x }, { groups, epsilon: 1e-5 })
}

async function valuesOf(tensors: Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map(async tensor => (await tensor.data<'float32'>()).slice()))
  tf.dispose(tensors)
  return values
}

/** [dx, dgamma, dbeta] by the kernel; dy is taken. */
function gradients(
  dy: Tensor,
  inputs: readonly Tensor[],
  groups: number,
  more: { residual?: Tensor; inPlace?: boolean; relu?: boolean } = {},
): Tensor[] {
  const [x, gamma, beta, mean, rstd] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor]
  const { residual, inPlace = false, relu = true } = more
  const attrs = { groups, epsilon: 1e-5, relu, inPlace }
  const found = runKernel('GroupNormReluGrad', { dy, x, gamma, beta, mean, rstd, ...(residual && { residual }) }, attrs)
  dy.dispose()
  return found
}

for (const [shape, groups] of [
  [[2, 3, 3, 3, 1], 1],
  [[2, 2, 3, 4, 12], 3], // a unit of four channels is of one group
  [[1, 1, 3, 2, 1028], 514], // of two, and more units than lanes
  [[1, 1, 2, 2, 257], 1],
  [[2, 5, 30, 21, 8], 8], // several chunks of voxels
  [[1, 7, 30, 21, 6], 2],
] as [Shape5, number][]) {
  t.test(`group norm of ${shape.join(' x ')} in ${groups} groups, far from zero`, skip, t =>
    withBackend('webgpu', async () => {
      const channels = shape[4]
      const x = normals(size(shape), 'x').map(value => value * 3 + 100)
      const [gamma, beta] = [normals(channels, 'gamma'), normals(channels, 'beta').map(Math.abs)] // some voxels pass
      const [dy, residual] = [normals(size(shape), 'dy'), normals(size(shape), 'residual')]
      const expected = reference.groupNormRelu(x, shape, gamma, beta, groups, 1e-5, true)
      const slopes = reference.groupNormReluGradient(dy, x, shape, gamma, beta, groups, 1e-5, true)
      const before = tf.memory().numTensors
      const inputs = [tf.tensor(x, shape), tf.tensor1d(gamma), tf.tensor1d(beta)] as [Tensor5D, Tensor1D, Tensor1D]
      const { y, mean, rstd } = normalise(...inputs, { groups, epsilon: 1e-5, relu: true })
      const more = tf.tensor(residual, shape)
      const found = gradients(tf.tensor(dy, shape), [...inputs, mean, rstd], groups, { residual: more })
      const values = await valuesOf([y, mean, rstd, ...found])
      tf.dispose([...inputs, more])
      t.equal(tf.memory().numTensors, before, 'no tensor is left')
      const { dx, dgamma, dbeta } = slopes
      const sum = dx.map((value, i) => value + residual[i]!)
      const off = [expected.y, expected.mean, expected.rstd, sum, dgamma, dbeta].map((truth, i) =>
        relativeDistance(values[i]!, truth),
      )
      t.comment(`y, mean, rstd, dx, dgamma, dbeta off by ${off.map(value => value.toPrecision(2)).join(', ')}`)
      t.ok(Math.max(...off) < 1e-5)
    }),
  )
}

t.test('statistics hold where the first voxel is 20 deviations from all others', skip, t =>
  withBackend('webgpu', async () => {
    const [voxels, channels] = [40_000, 4]
    const x = normals(voxels * channels, 'x').map((value, i) => (i < channels ? 20 : value * 0.5 + 30))
    const expected = reference.groupNormRelu(x, [1, 1, 1, voxels, channels], [1, 1, 1, 1], [0, 0, 0, 0], 2, 1e-5, false)
    const tensor = tf.tensor(x, [1, 1, 1, voxels, channels]) as Tensor5D
    const { mean, rstd } = statisticsOf(tensor, { groups: 2, epsilon: 1e-5, relu: true })
    const [means, rstds] = await valuesOf([mean, rstd])
    tensor.dispose()
    const off = [relativeDistance(means!, expected.mean), relativeDistance(rstds!, expected.rstd)]
    t.comment(`mean and rstd off by ${off.join(', ')}`)
    t.ok(off[0]! < 1e-6 && off[1]! < 1e-5)
  }),
)

t.test("a batch's norms and gradients are its samples', added in order, to the last bit", skip, t =>
  withBackend('webgpu', async () => {
    const shape: Shape5 = [3, 4, 30, 11, 8]
    const sample = size(shape) / 3
    const [x, dy] = [normals(size(shape), 'x'), normals(size(shape), 'dy')]
    const parameters = [tf.tensor1d(normals(8, 'gamma')), tf.tensor1d(normals(8, 'beta'))] as [Tensor1D, Tensor1D]
    const results = async (begin: number, end: number): Promise<Float32Array[]> => {
      const part = (values: Float32Array): Tensor5D =>
        tf.tensor(values.subarray(begin * sample, end * sample), [end - begin, 4, 30, 11, 8])
      const input = part(x)
      const { y, mean, rstd } = normalise(input, ...parameters, { groups: 4, epsilon: 1e-5, relu: true })
      const all = [y, mean, rstd, ...gradients(part(dy), [input, ...parameters, mean, rstd], 4)]
      input.dispose()
      return valuesOf(all)
    }
    const whole = await results(0, 3)
    const alone = [await results(0, 1), await results(1, 2), await results(2, 3)]
    for (const k of [0, 1, 2, 3])
      t.same(whole[k], Float32Array.from(alone.flatMap(values => [...values[k]!])), ['y', 'mean', 'rstd', 'dx'][k]!)
    for (const k of [4, 5]) {
      const sum = alone
        .slice(1)
        .reduce((total, values) => total.map((value, i) => value + values[k]![i]!), alone[0]![k]!)
      t.same(whole[k], sum, ['dgamma', 'dbeta'][k - 4]!)
    }
    tf.dispose(parameters)
  }),
)

t.test('dx takes the memory of dy where nobody else holds it, with the same values', skip, t =>
  withBackend('webgpu', async () => {
    const shape: Shape5 = [1, 2, 3, 4, 8]
    const x = tf.tensor(normals(size(shape), 'x'), shape)
    const residual = tf.tensor(normals(size(shape), 'residual'), shape)
    const { mean, rstd } = statisticsOf(x as Tensor5D, { groups: 8, epsilon: 1e-5, relu: true })
    const inputs = [x, tf.tensor1d(normals(8, 'gamma')), tf.tensor1d(normals(8, 'beta')), mean, rstd]
    const slopes = (): Tensor => tf.tensor(normals(size(shape), 'dy'), shape)
    for (const relu of [true, false]) {
      const [apart, held] = [slopes(), slopes()]
      const expected = await valuesOf(gradients(apart, inputs, 8, { residual, relu }))
      const dy = slopes()
      const { dataId } = dy
      const found = gradients(dy, inputs, 8, { residual, relu, inPlace: true })
      t.equal(found[0]!.dataId, dataId)
      t.same(await valuesOf(found), expected)

      const other = held.clone()
      const kept = gradients(held, inputs, 8, { residual, relu, inPlace: true })
      t.not(kept[0]!.dataId, other.dataId)
      t.same(await valuesOf(kept), expected)
      t.same((await valuesOf([other]))[0], normals(size(shape), 'dy'), 'what another holds stays')
    }
    const both = slopes()
    const twice = gradients(both.clone(), inputs, 8, { residual: both, inPlace: true })
    const same = gradients(slopes(), inputs, 8, { residual: both })
    t.same(await valuesOf(twice), await valuesOf(same), 'the slopes as the residual')
    tf.dispose([...inputs, residual, both])
  }),
)

for (const shape of [
  [1, 1, 2, 1, 1],
  [2, 3, 2, 5, 3],
  [1, 2, 4, 3, 4],
  [3, 1, 3, 2, 6],
  [1, 2, 2, 2, 260],
] as Shape5[]) {
  t.test(`up-sampling ${shape.join(' x ')}`, skip, t =>
    withBackend('webgpu', async () => {
      const x = normals(size(shape), 'x')
      const { y, shape: outShape } = upsample2(x, shape)
      const [dy, added] = [normals(y.length, 'dy'), normals(y.length, 'skip')]
      const inputs = [tf.tensor(x, shape), tf.tensor(added, outShape as never), tf.tensor(dy, outShape as never)] as [Tensor5D, Tensor5D, Tensor5D] // prettier-ignore
      const outputs = [upsample(inputs[0]), upsample(inputs[0], inputs[1]), upsampleGradient(inputs[2])]
      const [up, sum, dx] = await valuesOf(outputs)
      tf.dispose(inputs)
      t.ok(maxDifference(up!, y) < 1e-6)
      t.ok(maxDifference(sum!, y.map((value, i) => value + added[i]!)) < 1e-6) // prettier-ignore
      t.ok(maxDifference(dx!, upsample2Gradient(dy, outShape).dx) < 1e-5)
    }),
  )
}

t.test('what does not fit is refused with the words of the native backend', skip, t =>
  withBackend('webgpu', () => {
    tf.tidy(() => {
      const x = tf.zeros([1, 2, 2, 2, 6])
      const vector = tf.zeros([6])
      t.throws(statistics(x, 4), refusal(/^GroupNormStatistics: expected groups that divide the 6 channels, found 4/))
      t.throws(statistics(vector, 2), refusal(/expected x of shape \(N, D, H, W, C\) without zeros, found \(6\)/))
      t.throws(statistics(x.cast('int32'), 2), /expected a float32 tensor, found int32/)
      const norm = { x, gamma: vector, beta: tf.zeros([5]) }
      t.throws(
        () => runKernel('GroupNormRelu', norm, { groups: 2, epsilon: 1e-5, relu: true }),
        refusal(/^GroupNormRelu: expected beta of shape \(6\), found \(5\)/),
      )
      t.throws(
        () => runKernel('UpsampleTrilinear2', { x, skip: x }, {}),
        refusal(/^UpsampleTrilinear2: expected skip of shape \(1, 4, 4, 4, 6\), found \(1, 2, 2, 2, 6\)/),
      )
      t.throws(
        () => runKernel('UpsampleTrilinear2Grad', { dy: tf.zeros([1, 2, 3, 2, 1]) }, {}),
        refusal(/expected even sizes, found 2 x 3 x 2/),
      )
    })
  }),
)
