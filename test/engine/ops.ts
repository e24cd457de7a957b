import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor1D, Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import { adamUpdate } from '../../engine/ops/adam.ts'
import { scaleChannels } from '../../engine/ops/channel-dropout.ts'
import { conv3d, convolution } from '../../engine/ops/conv3d.ts'
import { diceCrossEntropy, diceCrossEntropyParts } from '../../engine/ops/dice-cross-entropy.ts'
import { groupNormRelu, normalise } from '../../engine/ops/group-norm-relu.ts'
import { head } from '../../engine/ops/head.ts'
import { residualBlock } from '../../engine/ops/residual-block.ts'
import { upsample, upsampleAdd, upsampleGradient } from '../../engine/ops/upsample.ts'
import { adam } from '../reference/adam.ts'
import * as reference from '../reference/conv3d.ts'
import { diceCrossEntropy as referenceLoss } from '../reference/dice-ce.ts'
import { groupNormRelu as referenceNorm, groupNormReluGradient } from '../reference/group-norm.ts'
import { upsample2, upsample2Gradient } from '../reference/upsample.ts'
import { skipped, testedBackends, withBackend } from '../support/backends.ts'
import { classes, maxDifference, normals, relativeDistance } from '../support/numbers.ts'
import { defaultAdam, publishedLoss } from '../support/options.ts'

type Shape5 = [number, number, number, number, number]
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

/** What a test found, looked at once all of it is computed: reading waits where tensors lie on a GPU. */
interface Comparison {
  readonly found: Tensor
  readonly expected: ArrayLike<number> | Tensor
  readonly compare: (t: Test, found: ArrayLike<number>, expected: ArrayLike<number>) => void
}
let comparisons: Comparison[] = []

const kept = (tensor: Tensor): Tensor => tf.keep(tensor.clone())

function compared(found: Tensor, expected: ArrayLike<number> | Tensor, compare: Comparison['compare']): void {
  comparisons.push({ found: kept(found), expected: expected instanceof tf.Tensor ? kept(expected) : expected, compare })
}

/** Float32 against float64 on a few thousand products. */
function close(found: Tensor | undefined, expected: ArrayLike<number> | Tensor, what: string): void {
  compared(found!, expected, (t, a, b) => {
    const distance = relativeDistance(a, b)
    t.ok(distance < 1e-5, `${what}: relative distance ${distance}`)
  })
}

const same: Comparison['compare'] = (t, a, b) => t.same(Array.from(a), b)

async function finish(t: Test): Promise<void> {
  const all = comparisons
  comparisons = []
  for (const { found, expected, compare } of all) {
    const known = expected instanceof tf.Tensor ? await expected.data() : expected
    compare(t, await found.data(), known)
    tf.dispose([found, ...(expected instanceof tf.Tensor ? [expected] : [])])
  }
}

/** Gradients of sum(weights * f(inputs)), so that the operation gets `weights` as its dy. */
function gradients(f: (...inputs: Tensor[]) => Tensor, inputs: Tensor[], weights: Tensor): Tensor[] {
  const { value, grads } = tf.valueAndGrads(
    (...xs: Tensor[]) =>
      f(...xs)
        .mul(weights)
        .sum() as tf.Scalar,
  )(inputs)
  value.dispose()
  return grads
}

const vector = (name: string): Tensor => tf.tensor1d(normals(8, name))
const filter3 = (name: string): Tensor => tf.tensor(normals(27 * 64, name, 0.1), [3, 3, 3, 8, 8])
const published = { groups: 8, epsilon: 1e-5, relu: true }

// The same operation as one and as its parts on tfjs' tape; inputs in the order of the operation's parameters.
function block(...inputs: Tensor[]): Tensor {
  const [x, gamma1, beta1, filter1, gamma2, beta2, filter2] = inputs as never[]
  return residualBlock(x!, { gamma1, beta1, filter1, gamma2, beta2, filter2 } as never, 8)
}
function blockParts(...inputs: Tensor[]): Tensor {
  const [x, gamma1, beta1, filter1, gamma2, beta2, filter2] = inputs as never[]
  const middle = conv3d(groupNormRelu(x!, gamma1!, beta1!, published), filter1!, 1)
  return conv3d(groupNormRelu(middle, gamma2!, beta2!, published), filter2!, 1).add(x!)
}
function wholeHead(...inputs: Tensor[]): Tensor {
  const [x, gamma, beta, filter, bias] = inputs as never[]
  return head(x!, { gamma, beta, filter, bias } as never, 8)
}
function headParts(...inputs: Tensor[]): Tensor {
  const [x, gamma, beta, filter, bias] = inputs as never[]
  return conv3d(groupNormRelu(x!, gamma!, beta!, published), filter!, 1).add(bias!)
}

for (const backend of [...testedBackends, 'webgpu'] as const) {
  const onBackend = (name: string, work: (t: Test) => void): void => {
    void t.test(`${backend}: ${name}`, { skip: skipped(backend) }, t =>
      withBackend(backend, async () => {
        // Kept tensors outlive a tidy: whatever is left afterwards has leaked.
        const before = tf.memory().numTensors
        tf.tidy(() => work(t))
        await finish(t)
        t.equal(tf.memory().numTensors, before, 'no tensor leaks')
      }),
    )
  }

  for (const [stride, kernel, ci, co] of [
    [1, 3, 1, 8],
    [1, 3, 8, 8],
    [2, 3, 8, 16],
    [1, 1, 16, 8],
  ] as const) {
    onBackend(`a ${kernel}-convolution of stride ${stride}, ${ci} to ${co} channels`, t => {
      const xShape: Shape5 = [2, 4, 6, 8, ci]
      const filterShape: Shape5 = [kernel, kernel, kernel, ci, co]
      const x = normals(size(xShape), 'x')
      const filter = normals(size(filterShape), 'filter')
      const pad = (kernel - 1) / 2
      const { y, shape } = reference.conv3d(x, xShape, filter, filterShape, stride, pad)
      const dy = normals(y.length, 'dy')
      const inputs = [tf.tensor(x, xShape), tf.tensor(filter, filterShape)]
      const weights = tf.tensor(dy, shape as Shape5)
      for (const f of [conv3d, convolution]) {
        const out = f(inputs[0] as Tensor5D, inputs[1] as Tensor5D, stride)
        t.same(out.shape, shape)
        close(out, y, 'y')
        const grads = gradients((a, b) => f(a as Tensor5D, b as Tensor5D, stride), inputs, weights)
        const dx = reference.conv3dInputGradient(dy, shape, filter, filterShape, xShape, stride, pad)
        close(grads[0], dx, 'dx')
        close(grads[1], reference.conv3dFilterGradient(x, xShape, dy, shape, filterShape, stride, pad), 'dfilter')
      }
    })
  }

  for (const relu of [true, false]) {
    for (const channels of [8, 32]) {
      onBackend(`group norm of ${channels} channels ${relu ? 'with' : 'without'} ReLU`, () => {
        const shape: Shape5 = [2, 3, 4, 5, channels]
        const options = { groups: 8, epsilon: 1e-5, relu }
        const x = normals(size(shape), 'x').map(value => value * 3 + 100) // far from zero: a naive variance would fail
        const gamma = normals(channels, 'gamma')
        const beta = normals(channels, 'beta')
        const dy = normals(size(shape), 'dy')
        const tensors = [tf.tensor(x, shape), tf.tensor1d(gamma), tf.tensor1d(beta)] as [Tensor5D, Tensor1D, Tensor1D]
        const expected = referenceNorm(x, shape, gamma, beta, 8, 1e-5, relu)
        const { y, mean, rstd } = normalise(...tensors, options)
        close(y, expected.y, 'y')
        close(mean, expected.mean, 'mean')
        close(rstd, expected.rstd, 'rstd')
        const f = (a: Tensor, b: Tensor, c: Tensor): Tensor =>
          groupNormRelu(a as Tensor5D, b as Tensor1D, c as Tensor1D, options)
        const grads = gradients(f as (...xs: Tensor[]) => Tensor, tensors, tf.tensor(dy, shape))
        const { dx, dgamma, dbeta } = groupNormReluGradient(dy, x, shape, gamma, beta, 8, 1e-5, relu)
        close(grads[0], dx, 'dx')
        close(grads[1], dgamma, 'dgamma')
        close(grads[2], dbeta, 'dbeta')
      })
    }
  }

  for (const extents of [
    [2, 3, 5],
    [1, 1, 4],
    [1, 1, 1],
  ] as const) {
    onBackend(`up-sampling ${extents.join(' x ')} and adding the skip`, () => {
      const shape: Shape5 = [2, ...extents, 8]
      const x = normals(size(shape), 'x')
      const { y, shape: outShape } = upsample2(x, shape)
      const skip = normals(y.length, 'skip')
      const dy = normals(y.length, 'dy')
      const tx = tf.tensor(x, shape) as Tensor5D
      const tskip = tf.tensor(skip, outShape as Shape5) as Tensor5D
      const sum = y.map((value, i) => value + skip[i]!)
      close(upsample(tx), y, 'y')
      close(upsampleAdd(tx, tskip), sum, 'y + skip')
      const weights = tf.tensor(dy, outShape as Shape5) as Tensor5D
      const { dx } = upsample2Gradient(dy, outShape)
      close(upsampleGradient(weights), dx, 'dx alone')
      const grads = gradients((a, b) => upsampleAdd(a as Tensor5D, b as Tensor5D), [tx, tskip], weights)
      close(grads[0], dx, 'dx')
      close(grads[1], dy, 'dskip')
    })
  }

  onBackend('a residual block equals its parts on the tape', () => {
    const shape: Shape5 = [2, 3, 4, 5, 8]
    const x = tf.tensor(normals(size(shape), 'x'), shape)
    const inputs = [x, vector('g1'), vector('b1'), filter3('f1'), vector('g2'), vector('b2'), filter3('f2')]
    close(block(...inputs), blockParts(...inputs), 'y')
    const weights = tf.tensor(normals(size(shape), 'dy'), shape)
    const expected = gradients(blockParts, inputs, weights)
    gradients(block, inputs, weights).forEach((grad, i) => close(grad, expected[i]!, `gradient ${i}`))
  })

  onBackend('the head equals its parts on the tape', () => {
    const shape: Shape5 = [2, 3, 4, 5, 8]
    const x = tf.tensor(normals(size(shape), 'x'), shape)
    const inputs = [
      x,
      tf.tensor1d(normals(8, 'gamma')),
      tf.tensor1d(normals(8, 'beta')),
      tf.tensor(normals(16, 'filter'), [1, 1, 1, 8, 2]),
      tf.tensor1d(normals(2, 'bias')),
    ]
    close(wholeHead(...inputs), headParts(...inputs), 'y')
    const weights = tf.tensor(normals(2 * 60 * 2, 'dy'), [2, 3, 4, 5, 2])
    const expected = gradients(headParts, inputs, weights)
    gradients(wholeHead, inputs, weights).forEach((grad, i) => close(grad, expected[i]!, `gradient ${i}`))
  })

  onBackend('scaled channels and their gradient', () => {
    const x = tf.ones([2, 1, 2, 2, 2]) as Tensor5D
    const factors = [
      [0, 2],
      [2, 2],
    ]
    const expected = [0, 2, 0, 2, 0, 2, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    compared(scaleChannels(x, factors), expected, same)
    const [dx] = gradients(a => scaleChannels(a as Tensor5D, factors), [x], tf.onesLike(x))
    compared(dx!, expected, same)
  })

  for (const [name, change] of Object.entries({
    'as published': {},
    'not squared': { squaredPred: false },
    'without background': { includeBackground: false },
    jaccard: { jaccard: true, squaredPred: false },
    'over the batch': { batch: true },
    weighted: { lambdaDice: 0.3, lambdaCe: 1.7, smoothNr: 0, smoothDr: 1e-2 },
  })) {
    for (const count of [2, 4]) {
      onBackend(`Dice + cross-entropy of ${count} classes, ${name}`, () => {
        const shape: Shape5 = [2, 3, 4, 5, count]
        const logits = normals(size(shape), 'logits', 2)
        const labels = classes(2 * 60, count, 'labels').map((label, i) => (i < 60 ? label : 0)) // one without lesion
        const options = { ...publishedLoss, ...change }
        const expected = referenceLoss(logits, labels, shape, options)
        const x = tf.tensor(logits, shape) as Tensor5D
        const y = tf.tensor(Int32Array.from(labels), [2, 3, 4, 5], 'int32') as Tensor4D
        const parts = diceCrossEntropyParts(x, y, options)
        close(parts.loss, [expected.loss], 'loss')
        close(parts.dice, [expected.dice], 'Dice')
        close(parts.crossEntropy, [expected.crossEntropy], 'cross-entropy')
        const grads = gradients(a => diceCrossEntropy(a as Tensor5D, y, options), [x], tf.scalar(3))
        close(
          grads[0],
          expected.dlogits.map(value => value * 3),
          'dlogits times dy',
        )
      })
    }
  }

  onBackend("three of Adam's updates, with weight decay", () => {
    const options = { ...defaultAdam, learningRate: 0.01, weightDecay: 0.1 }
    let expected: ReturnType<typeof adam> = {
      param: Float64Array.from(normals(37, 'p')),
      m: new Float64Array(37),
      v: new Float64Array(37),
    }
    const slot = {
      parameter: tf.variable(tf.tensor1d(normals(37, 'p'))),
      expAvg: tf.variable(tf.zeros([37])),
      expAvgSq: tf.variable(tf.zeros([37])),
    }
    for (let step = 1; step <= 3; step++) {
      const g = normals(37, `g${step}`)
      expected = adam(expected.param, expected.m, expected.v, g, { ...options, step })
      adamUpdate(slot, tf.tensor1d(g), options, step)
    }
    compared(slot.parameter, expected.param, (t, a, b) => t.ok(maxDifference(a, b) < 1e-6))
    close(slot.expAvg, expected.m, 'mean')
    close(slot.expAvgSq, expected.v, 'mean of squares')
    tf.dispose([slot.parameter, slot.expAvg, slot.expAvgSq])
  })
}
