import * as tf from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import {
  nativeBackendReport,
  registerNativeBackend,
  resetNativeBackendReport,
  trimPool,
} from '../../engine/backends/native.ts'
import { runKernel } from '../../engine/ops/kernel.ts'
import { skip } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

const { fill } = tf

/** Runs `work` on the native backend and asserts that it leaves no tensor. */
function onNative(name: string, work: (t: Test) => void): void {
  void t.test(name, { skip }, async t => {
    registerNativeBackend({ threads: 2, precision: 'float32' })
    await tf.setBackend('native')
    resetNativeBackendReport()
    const before = tf.memory().numTensors
    tf.tidy(() => work(t))
    t.equal(tf.memory().numTensors, before, 'no tensor is left')
  })
}

// Above the size from which the pool owns memory.
const size = 1 << 16

onNative('the backend belongs to the same TensorFlow.js as everything else', t => {
  t.equal(tf.getBackend(), 'native')
  t.ok(tf.backend() instanceof tf.MathBackendCPU)
  const own = new Set(tf.getKernelsForBackend('native').map(({ kernelName }) => kernelName))
  for (const { kernelName } of tf.getKernelsForBackend('cpu')) t.ok(own.has(kernelName), kernelName)
})

onNative('what a training step needs is native, the rest is counted', t => {
  const x = tf.tensor2d(normals(24, 'x'), [3, 8])
  tf.addN([x.add(1), x.add(x), x.add(x.sum(0)), x.mul(2).sub(x), x.relu(), x.softmax(), x.div(3)])
    .sum()
    .dataSync()
  x.reshape([8, 3]).expandDims(0).clone().dataSync()
  tf.zerosLike(x).add(tf.onesLike(x)).dataSync()
  t.same(nativeBackendReport().fallbacks, {})
  x.sin().dataSync()
  x.sum(1).dataSync()
  x.sin().dataSync()
  t.same(nativeBackendReport().fallbacks, { Sin: 2, Sum: 1 })
})

onNative('broadcasts equal those of the cpu backend', t => {
  for (const [a, b] of [
    [[2, 3], []],
    [[], [2, 3]],
    [[2, 3], [3]],
    [[3], [2, 3]],
    [
      [2, 1],
      [1, 3],
    ],
    [
      [1, 3],
      [2, 3],
    ],
    [
      [2, 3],
      [2, 1],
    ],
    [[1], [1, 1]],
    [[3], [1, 1, 1]],
    [[0], [1]],
  ] as const) {
    const left = tf.tensor(normals(count(a), 'a'), [...a])
    const right = tf.tensor(normals(count(b), 'b'), [...b])
    for (const op of [tf.add, tf.sub, tf.mul, tf.div]) {
      const found = op(left, right)
      const expected = tf.getKernel(kernelNames.get(op)!, 'cpu').kernelFunc({
        inputs: { a: left, b: right },
        backend: tf.backend(),
        attrs: {},
      }) as tf.TensorInfo
      t.same(found.shape, expected.shape, `(${a.join(', ')}) and (${b.join(', ')})`)
      t.same(found.dataSync(), tf.backend().readSync(expected.dataId))
      tf.backend().disposeData(expected.dataId)
    }
  }
})

onNative('memory is used again, and what was read stays as it was', t => {
  const first = fill([size], 1)
  const { pool } = nativeBackendReport()
  const read = first.dataSync()
  first.dispose()
  t.equal(nativeBackendReport().pool.liveBytes, pool.liveBytes - 4 * size)
  t.equal(nativeBackendReport().pool.pooledBytes, pool.pooledBytes + 4 * size)
  fill([size], 2)
  t.same(nativeBackendReport().pool, pool, 'the second tensor took the memory of the first')
  t.ok(read.every(v => v === 1))
})

onNative('a slice outlives the tensor it was cut from', t => {
  const whole = fill([size], 1)
  const part = whole.slice([0], [size / 2])
  whole.dispose()
  fill([size], 2)
  t.ok(part.dataSync().every(v => v === 1))
})

onNative('a clone keeps the memory of a disposed tensor', t => {
  const first = fill([size], 1)
  const clone = first.reshape([2, size / 2])
  first.dispose()
  fill([size], 2)
  t.ok(clone.dataSync().every(v => v === 1))
})

onNative('memory that waits is bounded by what was in use, and can be given back', t => {
  trimPool()
  // Each size once: nothing fits into what was left before.
  for (let i = 1; i <= 20; i++) fill([size + i * 1000], 1).dispose()
  const { pooledBytes } = nativeBackendReport().pool
  t.ok(pooledBytes <= 2 * 4 * (size + 20_000) + 4 * size * 1.5, `${pooledBytes} bytes wait`)
  trimPool()
  t.equal(nativeBackendReport().pool.pooledBytes, 0)
})

onNative('a tensor that the machine has no memory for is an error that says so', t => {
  const report = nativeBackendReport().pool.liveBytes
  const shape = [2 ** 18, 2 ** 13]
  t.throws(() => runKernel('Fill', {}, { shape: [...shape, 64], value: 0, dtype: 'float32' }), {
    code: 'ERR_ENGINE',
    message: /no memory for a tensor of/,
  })
  t.equal(nativeBackendReport().pool.liveBytes, report)
})

onNative('shapes that do not fit are errors with the kernel and both shapes', t => {
  const x = tf.zeros([1, 4, 4, 4, 6])
  const six = tf.zeros([6])
  const attrs = { groups: 4, epsilon: 1e-5, relu: true }
  const throws = (message: RegExp, work: () => unknown): void => {
    t.throws(work, { code: 'ERR_ENGINE', message })
  }
  throws(/GroupNormRelu: expected groups that divide the 6 channels, found 4/, () =>
    runKernel('GroupNormRelu', { x, gamma: six, beta: six }, attrs),
  )
  throws(/expected beta of shape \(6\), found \(1, 4, 4, 4, 6\)/, () =>
    runKernel('GroupNormRelu', { x, gamma: six, beta: x }, { ...attrs, groups: 2 }),
  )
  throws(/expected skip of shape \(1, 8, 8, 8, 6\)/, () => runKernel('UpsampleTrilinear2', { x, skip: x }, {}))
  throws(/expected even sizes, found 3 x 4 x 4/, () =>
    runKernel('UpsampleTrilinear2Grad', { dy: tf.zeros([1, 3, 4, 4, 6]) }, {}),
  )
  throws(/without zeros/, () => runKernel('UpsampleTrilinear2', { x: tf.zeros([1, 0, 4, 4, 6]) }, {}))
  const strides = [1, 1, 1]
  throws(/as many channels in both/, () =>
    runKernel('Conv3D', { x, filter: tf.zeros([3, 3, 3, 5, 2]) }, { strides, pad: 1 }),
  )
  throws(/at least one voxel/, () =>
    runKernel('Conv3D', { x, filter: tf.zeros([5, 5, 5, 6, 2]) }, { strides, pad: 'valid' }),
  )
  throws(/expected dy of shape \(1, 4, 4, 4, 2\)/, () =>
    runKernel(
      'Conv3DBackpropInputV2',
      { dy: tf.zeros([1, 4, 4, 3, 2]), filter: tf.zeros([3, 3, 3, 6, 2]) },
      { strides, pad: 1, inputShape: x.shape },
    ),
  )
  throws(/expected a step from 1 on, found 0/, () =>
    runKernel(
      'AdamUpdate',
      { param: six, m: six, v: six, gradient: six },
      { learningRate: 1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, step: 0 },
    ),
  )
})

onNative('a label that is no class is an error with the code of labels', t => {
  const live = nativeBackendReport().pool.liveBytes
  const attrs = { smoothNr: 1e-5, smoothDr: 1e-5, lambdaDice: 1, lambdaCe: 1 }
  const inputs = { logits: tf.zeros([1, 1, 1, 3, 2]), labels: tf.tensor([0, 1, 2], [1, 1, 1, 3], 'int32') }
  t.throws(() => runKernel('DiceCrossEntropy', inputs, attrs), {
    code: 'ERR_LABEL',
    message: /expected labels from 0 to 1, found 1 voxels with others/,
  })
  t.equal(nativeBackendReport().pool.liveBytes, live)
})

onNative("TensorFlow.js' own padding names", t => {
  const x = tf.tensor(normals(2 * 5 * 6 * 7 * 3, 'x'), [2, 5, 6, 7, 3]) as tf.Tensor5D
  const filter = tf.tensor(normals(27 * 3 * 4, 'filter'), [3, 3, 3, 3, 4]) as tf.Tensor5D
  for (const pad of ['same', 'valid'] as const)
    for (const stride of [1, 2]) {
      const found = tf.conv3d(x, filter, stride, pad)
      const expected = tf.getKernel('Conv3D', 'cpu').kernelFunc({
        inputs: { x, filter },
        backend: tf.backend(),
        attrs: { strides: [stride, stride, stride], pad, dataFormat: 'NDHWC', dilations: [1, 1, 1] },
      }) as tf.TensorInfo
      t.same(found.shape, expected.shape)
      const [a, b] = [found.dataSync(), tf.backend().readSync(expected.dataId) as Float32Array]
      t.ok(
        a.every((v, i) => Math.abs(v - b[i]!) < 1e-4),
        `${pad}, stride ${stride}`,
      )
      tf.backend().disposeData(expected.dataId)
    }
})

const kernelNames = new Map<unknown, string>([
  [tf.add, 'Add'],
  [tf.sub, 'Sub'],
  [tf.mul, 'Multiply'],
  [tf.div, 'RealDiv'],
])

function count(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

onNative('what a norm in front of a convolution does not fit is refused', t => {
  const x = tf.zeros([1, 2, 2, 4, 8])
  const filter = tf.zeros([3, 3, 3, 8, 8])
  const [statistics, perChannel] = [tf.ones([1, 4]), tf.ones([8])]
  const inputs = { x, filter, mean: statistics, rstd: statistics, gamma: perChannel, beta: perChannel }
  const attrs = { strides: [1, 1, 1], pad: 1 }
  const forward = (changed: object): unknown => runKernel('NormReluConv3D', { ...inputs, ...changed }, attrs)
  const gradient = (changed: object): unknown =>
    runKernel(
      'NormReluConv3DBackpropFilter',
      { x, dy: x, mean: statistics, rstd: statistics, gamma: perChannel, beta: perChannel, ...changed },
      { ...attrs, filterShape: filter.shape },
    )
  forward({})
  gradient({})
  for (const run of [forward, gradient]) {
    t.throws(() => run({ mean: tf.ones([1, 3]) }), { message: /groups that divide the 8 channels, found 3/ })
    t.throws(() => run({ rstd: tf.ones([1, 8]) }), { message: /rstd/ })
    t.throws(() => run({ gamma: tf.ones([4]) }), { message: /gamma/ })
  }
  t.throws(() => forward({ residual: tf.ones([1, 2, 2, 3, 8]) }), { message: /residual/ })
  t.throws(() => gradient({ dy: tf.ones([1, 2, 2, 3, 8]) }), { message: /dy/ })
  t.throws(() => runKernel('GroupNormStatistics', { x }, { groups: 3, epsilon: 1e-5 }), { message: /groups/ })
})

onNative('a gradient that somebody else holds too is not overwritten', t => {
  const x = tf.tensor(normals(size, 'x'), [1, 4, 32, 64, 8]) as tf.Tensor5D
  const [statistics, perChannel] = [tf.ones([1, 4]), tf.ones([8])]
  const inputs = { x, mean: statistics, rstd: statistics, gamma: perChannel, beta: perChannel }
  const attrs = { groups: 4, epsilon: 1e-5, relu: true, inPlace: true }
  const dy = tf.mul(x, 2)
  const before = dy.dataSync().slice()
  const shared = dy.reshape([size])
  const [dx] = runKernel('GroupNormReluGrad', { ...inputs, dy }, attrs)
  t.same(shared.dataSync(), before, 'values as they were')
  const alone = tf.mul(x, 2)
  const [same] = runKernel('GroupNormReluGrad', { ...inputs, dy: alone }, attrs)
  t.same(same!.dataSync(), dx!.dataSync(), 'in place or not, the same gradient')
})
