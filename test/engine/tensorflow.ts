/**
 * How the `tensorflow` backend finds the user's package and what it makes of it, with packages made here. That TensorFlow itself
 * computes what the references say is `npm run check:tensorflow`.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor5D } from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import { startBackend } from '../../engine/backend.ts'
import { openEngine, type EngineOptions } from '../../engine/engine.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { classes, maxDifference, normals, relativeDistance } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'

const environment = ['CTFLOW_TFJS_NODE', 'TF_CPP_MIN_LOG_LEVEL', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS']

/** Sets a variable until the end of the test; others of the backend are not set. */
function withEnvironment(t: Test, set: Record<string, string>): void {
  const before = environment.map(name => [name, process.env[name]] as const)
  for (const name of environment) delete process.env[name]
  Object.assign(process.env, set)
  t.teardown(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
}

/** A folder with a package of that program, below this project: its TensorFlow.js is what such a package finds. */
function installed(t: Test, program: string, { name = 'tfjs-node', beside = {}, version = '4.22.0' } = {}): string {
  const manifest = JSON.stringify({ name: `@tensorflow/${name}`, version, main: 'main.js' })
  return t.testdir({
    node_modules: { '@tensorflow': { [name]: { 'package.json': manifest, 'main.js': program }, ...beside } },
  })
}

const refusal = async (options: Partial<EngineOptions> = {}): Promise<PipelineError> => {
  try {
    const engine = await openEngine(engineOptions({ backend: 'tensorflow', ...options }))
    await engine.close()
  } catch (error) {
    return error as PipelineError
  }
  throw new Error('expected the engine to be refused')
}

/** Is to TensorFlow.js what the real one is: the CPU's kernels, but convolutions that refuse a number as their padding. */
const working = (device = 'CPU'): string => `
const tf = require('@tensorflow/tfjs')
const util = require('util')
const { MathBackendCPU } = require('@tensorflow/tfjs-backend-cpu')
if (!util.isNullOrUndefined(undefined) || util.isNullOrUndefined(0) || !util.isArray([])) throw new Error('not there')
class Backend extends MathBackendCPU {
  binding = { TF_Version: '9.8.7' }
  isUsingGpuDevice = ${device === 'GPU'}
}
for (const config of tf.getKernelsForBackend('cpu')) {
  const kernelFunc = call => {
    if (/^Conv3D/.test(config.kernelName) && !/^(same|valid)$/.test(call.attrs.pad)) throw new Error('no such padding')
    const output = config.kernelFunc(call)
    return /^Conv3D/.test(config.kernelName) ? tf.engine().makeTensorFromTensorInfo(output) : output
  }
  tf.registerKernel({ ...config, backendName: 'tensorflow', kernelFunc })
}
tf.registerBackend('tensorflow', () => new Backend(), 3)
tf.setBackend('tensorflow')
`

t.test('without the package the error names both and the commands', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'ctflow-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  withEnvironment(t, { CTFLOW_TFJS_NODE: folder })
  const error = await refusal()
  t.equal(error.code, 'ERR_ENGINE')
  t.match(error.message, /^\/engine\/backend: "tensorflow" needs @tensorflow\/tfjs-node-gpu or @tensorflow\/tfjs-node/)
  t.match(error.message, /npm install @tensorflow\/tfjs-node-gpu@4\.22\.0.*npm install @tensorflow\/tfjs-node@4\.22\.0/)
  t.ok(error.message.includes(folder) && error.message.includes('docs/tensorflow.md'))
  t.same(error.facts['looked'], [folder])
})

for (const [title, thrown, cure] of [
  [
    'was not downloaded',
    'The Node.js native addon module (tfjs_binding.node) can not be found at path: /x\nPlease run command',
    /can not be found at path: \/x; its library was not downloaded at install; run "npm rebuild @tensorflow\/tfjs-node"/,
  ],
  [
    'is missing',
    'libtensorflow.so.2: cannot open shared object file: No such file or directory',
    /cannot open.*; its library was not downloaded at install; run "npm rebuild @tensorflow\/tfjs-node"/,
  ],
  ['wants a newer system', "/lib/libm.so.6: version `GLIBC_2.99' not found", /GLIBC_2\.99.*wants a newer system/],
  [
    'knows another Node',
    'util_1.isRegExp is not a function',
    /isRegExp is not a function; install it again: npm install/,
  ],
] as const) {
  t.test(`a library that ${title}: what it said, on which Node, and the cure`, async t => {
    withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, `throw new Error(${JSON.stringify(thrown)})`) })
    const error = await refusal()
    t.match(error, { code: 'ERR_ENGINE', facts: { package: '@tensorflow/tfjs-node', version: '4.22.0' } })
    t.ok(error.message.startsWith('/engine/backend: @tensorflow/tfjs-node 4.22.0 in '), error.message)
    t.ok(error.message.includes(`does not load on Node ${process.versions.node}: `))
    t.match(error.message, cure)
    t.notMatch(error.message, /Please run command/, 'its first line is enough')
  })
}

for (const own of ['tfjs', 'tfjs-core']) {
  t.test(`a copy of ${own} of its own is refused before it loads`, async t => {
    const copy = { [own]: { 'package.json': JSON.stringify({ version: '4.21.0' }), 'index.js': '' } }
    const folder = installed(t, 'throw new Error("was loaded")', { beside: copy, version: '4.21.0' })
    withEnvironment(t, { CTFLOW_TFJS_NODE: folder })
    const error = await refusal()
    t.equal(error.code, 'ERR_ENGINE')
    t.ok(error.message.startsWith('/engine/backend: @tensorflow/tfjs-node 4.21.0 in '), error.message)
    t.ok(error.message.includes(`has a copy of @tensorflow/${own} of its own (${folder}`))
    t.match(error.message, /npm install @tensorflow\/tfjs-node@4\.22\.0, then npm dedupe/)
  })
}

t.test('a package that registers no backend is told of', async t => {
  withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, '') })
  t.match(await refusal(), {
    code: 'ERR_ENGINE',
    message: /^\/engine\/backend: .* registers no backend "tensorflow".*npm install @tensorflow\/tfjs-node@4\.22\.0/,
  })
})

t.test('a precision other than float32 is refused, package or not', async t => {
  for (const precision of ['bfloat16', 'float16'] as const) {
    t.match(await refusal({ precision }), { code: 'ERR_DEFINITION', message: /^\/engine\/precision: .*float32 only/ })
  }
})

t.test('versions and device are told, and the one for GPUs comes first', async t => {
  const both = { 'tfjs-node': { 'package.json': '{ "version": "4.22.0" }', 'index.js': 'throw new Error("taken")' } }
  withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, working('GPU'), { name: 'tfjs-node-gpu', beside: both }) })
  const engine = await openEngine(engineOptions({ backend: 'tensorflow', threads: 3 }))
  t.teardown(() => engine.close())
  t.match(engine.info, { backend: 'tensorflow', precision: 'float32', threads: 3, reason: 'asked for' })
  t.equal(engine.info.device, 'GPU, TensorFlow 9.8.7, @tensorflow/tfjs-node-gpu 4.22.0')
  t.equal(process.env['TF_NUM_INTRAOP_THREADS'], '3', 'where the library reads it')
})

t.test('the package for GPUs that finds none says so', async t => {
  withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, working(), { name: 'tfjs-node-gpu' }) })
  const engine = await openEngine(engineOptions({ backend: 'tensorflow' }))
  t.teardown(() => engine.close())
  t.match(engine.info, { device: /^CPU /, reason: 'asked for; it found no GPU' })
})

t.test('what the user has set for the library stays', async t => {
  withEnvironment(t, {
    CTFLOW_TFJS_NODE: installed(t, working()),
    TF_NUM_INTRAOP_THREADS: '1',
    TF_CPP_MIN_LOG_LEVEL: '0',
  })
  const engine = await openEngine(engineOptions({ backend: 'tensorflow', threads: 3 }))
  t.teardown(() => engine.close())
  t.equal(engine.info.threads, 1)
  t.equal(process.env['TF_CPP_MIN_LOG_LEVEL'], '0')
})

t.test('a package beside the files that the user works on is found', async t => {
  withEnvironment(t, {})
  const before = process.cwd()
  t.teardown(() => process.chdir(before))
  process.chdir(installed(t, working()))
  const engine = await openEngine(engineOptions({ backend: 'tensorflow' }))
  t.teardown(() => engine.close())
  t.match(engine.info.device, /^CPU \(.*\), TensorFlow 9\.8\.7, @tensorflow\/tfjs-node 4\.22\.0$/)
})

t.test('convolutions that know `same` and `valid` alone train the network like those that know numbers', async t => {
  withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, working()) })
  const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] }
  const shape = [8, 4, 6] as const
  const batch = {
    image: normals(2 * 192, 'image'),
    label: classes(2 * 192, 2, 'label'),
    count: 2,
    shape,
    cases: ['a', 'b'],
  }
  const [expected, found] = await Promise.all(
    (['cpu', 'tensorflow'] as const).map(async backend => {
      const engine = await openEngine(engineOptions({ backend, network }))
      const losses = []
      for (let i = 0; i < 3; i++) losses.push((await engine.step(batch)).loss)
      const { liveTensors } = await engine.report()
      const logits = await engine.infer(batch.image, 2, shape)
      t.equal((await engine.report()).liveTensors, liveTensors, 'no tensor is left behind')
      const need = await engine.need({ step: { patch: shape, batch: 2 }, windows: [shape] })
      const { peakHeldBytes } = await engine.report()
      await engine.close()
      return { losses, logits, need, peakHeldBytes }
    }),
  )
  t.ok(maxDifference(found!.losses, expected!.losses) < 1e-5, `${found!.losses}, expected ${expected!.losses}`)
  t.ok(maxDifference(found!.logits, expected!.logits) < 1e-4)
  t.ok(found!.peakHeldBytes > 0 && found!.need.bytes > 0)
})

/** A convolution's sum of squares and its gradients. */
async function convolved(
  backend: 'cpu' | 'tensorflow',
  kernel: number,
  stride: number,
  pad: number | 'same',
): Promise<Float32Array[]> {
  await startBackend(engineOptions({ backend }))
  return tf.tidy(() => {
    const x = tf.tensor5d(normals(2 * 6 * 7 * 8 * 3, 'x'), [2, 6, 7, 8, 3])
    const filter = tf.tensor5d(normals(kernel ** 3 * 12, 'filter'), [kernel, kernel, kernel, 3, 4])
    const { value, grads } = tf.valueAndGrads((...inputs: Tensor[]) => {
      const [a, b] = inputs as [Tensor5D, Tensor5D]
      return tf
        .conv3d(a, b, stride, pad as 'same')
        .square()
        .sum()
        .asScalar()
    })([x, filter])
    return [value, ...grads].map(tensor => tensor.dataSync<'float32'>().slice())
  })
}

t.test('any padding of a convolution and of its gradients becomes `same`, or `valid` with zeros', async t => {
  withEnvironment(t, { CTFLOW_TFJS_NODE: installed(t, working()) })
  for (const [kernel, stride, pad] of [
    [3, 1, 1],
    [3, 2, 1],
    [3, 1, 2],
    [3, 2, 0],
    [1, 1, 0],
    [5, 3, 2],
    [3, 2, 'same'],
  ] as const) {
    const expected = await convolved('cpu', kernel, stride, pad)
    const found = await convolved('tensorflow', kernel, stride, pad)
    const worst = Math.max(...found.map((values, i) => relativeDistance(values, expected[i]!)))
    t.ok(worst < 1e-6, `kernel ${kernel}, stride ${stride}, padding ${pad}: off by ${worst}`)
  }
  await tf.setBackend('cpu')
})
