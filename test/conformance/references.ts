/** The references' own gradients against central differences, in float64. */

import t, { type Test } from 'tap'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, outputShape, type Shape5 } from '../reference/conv3d.ts'
import { diceCrossEntropy } from '../reference/dice-ce.ts'
import { groupNormRelu, groupNormReluGradient } from '../reference/group-norm.ts'
import { upsample2, upsample2Gradient } from '../reference/upsample.ts'
import { classes, maxDifference, normals } from '../support/numbers.ts'

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((s, v, i) => s + v * b[i]!, 0)

/** df/dat by central differences; the error is of the order of step^2. */
function centralDifferences(at: Float64Array, f: (at: Float64Array) => number): Float64Array {
  const step = 1e-5
  return at.map((value, i) => (f(at.with(i, value + step)) - f(at.with(i, value - step))) / (2 * step))
}

function close(
  t: Test,
  name: string,
  found: ArrayLike<number>,
  at: Float64Array,
  f: (at: Float64Array) => number,
): void {
  const difference = maxDifference(found, centralDifferences(at, f))
  t.ok(difference < 1e-6, `${name}: difference ${difference}`)
}

t.test('convolution', async t => {
  for (const [stride, pad] of [
    [1, 1],
    [2, 1],
    [1, 0],
    [2, 2],
  ] as const) {
    const xShape: Shape5 = [2, 3, 4, 5, 2]
    const filterShape: Shape5 = [3, 3, 3, 2, 3]
    const yShape = outputShape(xShape, filterShape, stride, pad)
    const x = Float64Array.from(normals(size(xShape), 'x'))
    const filter = Float64Array.from(normals(size(filterShape), 'filter'))
    const dy = Float64Array.from(normals(size(yShape), 'dy'))
    const value = (a: Float64Array, b: Float64Array): number =>
      dot(conv3d(a, xShape, b, filterShape, stride, pad).y, dy)
    const dx = conv3dInputGradient(dy, yShape, filter, filterShape, xShape, stride, pad)
    const dfilter = conv3dFilterGradient(x, xShape, dy, yShape, filterShape, stride, pad)
    close(t, `dx, stride ${stride}, padding ${pad}`, dx, x, at => value(at, filter))
    close(t, `dfilter, stride ${stride}, padding ${pad}`, dfilter, filter, at => value(x, at))
  }
})

t.test('a stride of 2 with padding 1 samples at 2i - 1, 2i, 2i + 1, as PyTorch does', async t => {
  const line: Shape5 = [1, 1, 1, 6, 1]
  const { y, shape } = conv3d([1, 2, 3, 4, 5, 6], line, [100, 10, 1], [1, 1, 3, 1, 1], [1, 1, 2], [0, 0, 1])
  t.same(shape, [1, 1, 1, 3, 1])
  t.same([...y], [12, 234, 456])
})

t.test('group norm', async t => {
  const shape: Shape5 = [2, 2, 3, 2, 6]
  const x = Float64Array.from(normals(size(shape), 'x'))
  const gamma = Float64Array.from(normals(6, 'gamma'))
  const beta = Float64Array.from(normals(6, 'beta'))
  const dy = Float64Array.from(normals(size(shape), 'dy'))
  for (const relu of [true, false]) {
    const value = (a: Float64Array, g: Float64Array, b: Float64Array): number =>
      dot(groupNormRelu(a, shape, g, b, 3, 1e-5, relu).y, dy)
    const { dx, dgamma, dbeta } = groupNormReluGradient(dy, x, shape, gamma, beta, 3, 1e-5, relu)
    close(t, `dx, relu ${relu}`, dx, x, at => value(at, gamma, beta))
    close(t, `dgamma, relu ${relu}`, dgamma, gamma, at => value(x, at, beta))
    close(t, `dbeta, relu ${relu}`, dbeta, beta, at => value(x, gamma, at))
  }
})

t.test('up-sampling', async t => {
  for (const shape of [
    [1, 2, 3, 4, 2],
    [2, 1, 1, 3, 1],
  ] as const) {
    const x = Float64Array.from(normals(size(shape), 'x'))
    const { y, shape: outShape } = upsample2(x, shape)
    const dy = Float64Array.from(normals(y.length, 'dy'))
    close(t, `dx of (${shape.join(', ')})`, upsample2Gradient(dy, outShape).dx, x, at =>
      dot(upsample2(at, shape).y, dy),
    )
  }
})

t.test('Dice + cross-entropy', async t => {
  const options = { smoothNr: 0.1, smoothDr: 0.2, lambdaDice: 0.7, lambdaCe: 1.3 }
  const shape: Shape5 = [2, 1, 3, 4, 3]
  const logits = Float64Array.from(normals(size(shape), 'logits'))
  const labels = classes(24, 3, 'labels')
  for (const squaredPred of [true, false])
    for (const includeBackground of [true, false])
      for (const jaccard of [true, false])
        for (const batch of [true, false]) {
          const all = { ...options, squaredPred, includeBackground, jaccard, batch }
          const { dlogits } = diceCrossEntropy(logits, labels, shape, all)
          close(
            t,
            JSON.stringify({ squaredPred, includeBackground, jaccard, batch }),
            dlogits,
            logits,
            at => diceCrossEntropy(at, labels, shape, all).loss,
          )
        }
})
