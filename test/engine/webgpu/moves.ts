/** TensorFlow.js' small kernels on the webgpu backend, which serves them itself, against its cpu backend: 1 to 6 axes. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor } from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import type { GpuBackend } from '../../../engine/backends/webgpu/backend.ts'
import { skipped, withBackend } from '../../support/backends.ts'
import { maxDifference, normals } from '../../support/numbers.ts'

type Dtype = 'float32' | 'int32'
type Case = readonly [name: string, compute: () => Tensor | Tensor[]]

const skip = { skip: skipped('webgpu') }

/** Last axes that are read in vectors and such that are not. */
const shapes: readonly (readonly number[])[] = [
  [8],
  [7],
  [4, 5],
  [3, 1, 5],
  [1, 2, 3, 3],
  [2, 3, 2, 3, 4],
  [2, 1, 3, 2, 2, 4],
  [1, 2, 3, 2, 2, 3],
]

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

function tensor(shape: readonly number[], dtype: Dtype, name: string): Tensor {
  const values = normals(size(shape), name, 10)
  return tf.tensor(dtype === 'int32' ? Int32Array.from(values) : values, [...shape], dtype)
}

/** Kernels that move elements, and those that make them of nothing. */
function moves(shape: readonly number[], dtype: Dtype): Case[] {
  const rank = shape.length
  const axes = shape.map((_, axis) => axis)
  const x = (name = 'x'): Tensor => tensor(shape, dtype, name)
  return [
    ['transposed', () => tf.transpose(x())],
    ['with its axes turned', () => tf.transpose(x(), [...axes.slice(1), 0])],
    ['a slice', () => tf.slice(x(), shape.map(n => (n > 1 ? 1 : 0)), shape.map(n => Math.max(1, n - 2)))], // prettier-ignore
    ['the first of each axis but the last', () => tf.slice(x(), shape.map(() => 0), shape.map((n, i) => (i < rank - 1 ? 1 : n)))], // prettier-ignore
    ['tiled', () => tf.tile(x(), axes.map(axis => 1 + (axis % 3)))], // prettier-ignore
    ['padded', () => tf.pad(x(), axes.map(axis => [axis % 2, 2]), 7)], // prettier-ignore
    ['padded by fours', () => tf.pad(x(), axes.map(axis => (axis === rank - 1 ? [4, 4] : [1, 0])), -3)], // prettier-ignore
    ...axes.map((axis): Case => [`joined along ${axis}`, () => tf.concat([x(), x('y'), x('z')], axis)]),
    ...(rank < 6 ? [...axes, rank] : []).map((axis): Case => [`stacked along ${axis}`, () => tf.stack([x(), x('y')], axis)]), // prettier-ignore
    ...axes.map((axis): Case => [`taken apart along ${axis}`, () => tf.unstack(x(), axis)]),
    ['filled', () => tf.fill(shape as number[], 3, dtype)],
    ['zeros like it', () => tf.zerosLike(x())],
    ['ones like it', () => tf.onesLike(x())],
  ]
}

/** Element-wise kernels, the second operand repeated along each axis in turn. */
function pairs(shape: readonly number[], dtype: Dtype): Case[] {
  const others = [
    shape,
    [],
    [1],
    shape.slice(1),
    ...shape.map((_, axis) => shape.with(axis, 1)),
    shape.map((n, axis) => (axis % 2 === 0 ? n : 1)),
    shape.map((n, axis) => (axis % 2 === 1 ? n : 1)),
  ]
  const kernels = { add: tf.add, sub: tf.sub, mul: tf.mul, ...(dtype === 'float32' && { div: tf.div }) }
  return Object.entries(kernels).flatMap(([name, f]) =>
    others.flatMap((other): Case[] => {
      const [a, b] = [(): Tensor => tensor(shape, dtype, 'a'), (): Tensor => tensor(other, dtype, 'b')]
      return [
        [`${name} of ${other.join(' x ') || 'a scalar'}`, () => f(a(), b())],
        [`${name} to ${other.join(' x ') || 'a scalar'}`, () => f(b(), a())],
      ]
    }),
  )
}

function reductions(shape: readonly number[]): Case[] {
  const axes = shape.map((_, axis) => axis)
  const some = [axes, ...axes.map(axis => [axis]), axes.slice(0, -1), axes.filter(axis => axis % 2 === 1)]
  const x = (name = 'x'): Tensor => tensor(shape, 'float32', name)
  return [
    ...some
      .filter(chosen => chosen.length > 0)
      .map((chosen): Case => [`sum over ${chosen.join()}`, () => tf.sum(x(), chosen)]),
    ['sum, axes kept', () => tf.sum(x(), [shape.length - 1], true)],
    ['soft-max', () => tf.softmax(x())],
    ['ReLU', () => tf.relu(x())],
    ['two added', () => tf.addN([x('a'), x('b')])],
    ['sixteen added', () => tf.addN(Array.from({ length: 16 }, (_, k) => x(`${k}`)))],
  ]
}

interface Values {
  readonly shape: readonly number[]
  readonly dtype: string
  readonly data: ArrayLike<number>
}

async function values(compute: () => Tensor | Tensor[]): Promise<Values[]> {
  const all = tf.tidy(compute)
  const found = await Promise.all(
    [all].flat().map(async tensor => ({
      shape: tensor.shape,
      dtype: tensor.dtype,
      data: (await tensor.data()).slice(),
    })),
  )
  tf.dispose(all)
  return found
}

/** Of each case on both backends; `tolerance` 0 for the same bits. */
async function conforms(t: Test, cases: readonly Case[], tolerance: number): Promise<void> {
  await tf.setBackend('cpu')
  const expected: Values[][] = []
  for (const [, compute] of cases) expected.push(await values(compute))
  const problems: string[] = []
  await withBackend('webgpu', async () => {
    const backend = tf.backend() as GpuBackend
    backend.fallbacks.clear()
    const before = tf.memory().numTensors
    for (const [k, [name, compute]] of cases.entries()) {
      const found = await values(compute)
      const sameForm = found.length === expected[k]!.length && found.every(({ shape, dtype }, i) => shape.join() === expected[k]![i]!.shape.join() && dtype === expected[k]![i]!.dtype) // prettier-ignore
      const off = sameForm
        ? Math.max(...found.map(({ data }, i) => maxDifference(data, expected[k]![i]!.data)))
        : Infinity
      if (!(off <= tolerance)) problems.push(`${name}: off by ${off}`)
    }
    t.same(problems, [])
    t.same(Object.fromEntries(backend.fallbacks), {}, 'none of it on kernels of TensorFlow.js')
    t.equal(tf.memory().numTensors, before, 'no tensor leaks')
  })
}

for (const shape of shapes) {
  const what = `${shape.join(' x ')}`
  for (const dtype of ['float32', 'int32'] as const) {
    t.test(`${what}, ${dtype}: moved elements are those of the cpu backend`, skip, t =>
      conforms(t, moves(shape, dtype), 0),
    )
    t.test(`${what}, ${dtype}: pairs of elements`, skip, t =>
      conforms(t, pairs(shape, dtype), dtype === 'int32' ? 0 : 1e-4),
    )
  }
  t.test(`${what}: sums, soft-max, ReLU`, skip, t => conforms(t, reductions(shape), 1e-4))
}

t.test('sums of many elements are those of float64', skip, t =>
  withBackend('webgpu', async () => {
    for (const [rows, channels] of [
      [8_193, 1],
      [300_000, 1],
      [5_000, 3],
      [20_000, 8],
      [300, 1028],
    ] as const) {
      const data = normals(rows * channels, 'x').map(value => value + 1)
      const expected = new Float64Array(channels)
      data.forEach((value, i) => (expected[i % channels]! += value))
      const x = tf.tensor(data, [rows, channels])
      const [perChannel, whole] = [x.sum<Tensor>(0), x.sum<Tensor>()]
      const found = Array.from(await perChannel.data<'float32'>())
      const off = Math.max(...found.map((sum, c) => Math.abs(sum / expected[c]! - 1)))
      t.comment(`${rows} x ${channels}: off by ${off}`)
      t.ok(off < 3e-7, `${rows} x ${channels}, over the rows`)
      const total = expected.reduce((a, b) => a + b)
      t.ok(Math.abs((await whole.data<'float32'>())[0]! / total - 1) < 3e-7, `${rows} x ${channels}, over all`)
      tf.dispose([x, perChannel, whole])
    }
  }),
)

t.test('soft-max takes -Infinity for impossible and hides no NaN', skip, t =>
  withBackend('webgpu', async () => {
    const logits = tf.tensor2d([0, -Infinity, 0, NaN, 0, 1, 0, Infinity, 1, -200, 0, -50], [4, 3])
    const p = logits.softmax()
    t.same([...(await p.data())], [0.5, 0, 0.5, NaN, NaN, NaN, NaN, NaN, NaN, 0, 1, Math.fround(Math.exp(-50))])
    tf.dispose([logits, p])
  }),
)

t.test('calls that no kernel of ours serves go to those of TensorFlow.js and are counted', skip, t =>
  withBackend('webgpu', async () => {
    const backend = tf.backend() as GpuBackend
    backend.fallbacks.clear()
    const y = tf.tidy(() => tf.sum(tf.tensor1d([1, 2, 3], 'int32')).add(tf.exp(tf.tensor1d([0, 0])).cast('int32')))
    t.same([...(await y.data())], [7, 7])
    y.dispose()
    t.same(Object.keys(Object.fromEntries(backend.fallbacks)).toSorted(), ['Cast', 'Exp', 'Sum'])
  }),
)
