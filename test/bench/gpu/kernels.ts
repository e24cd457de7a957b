import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { openMeasured, secondsOf, type MeasuredDevice } from '../../../bench/gpu/device.ts'
import { differenceFromPlainLoops, kernelCases, kernelTrial, type KernelCase } from '../../../bench/gpu/kernels.ts'
import { gpuOptions } from '../../../bench/gpu/options.ts'
import { networkWith } from '../../../bench/kernels/layers.ts'
import { skipped, softwareAdapter } from '../../support/backends.ts'

const network = { ...networkWith(8), blocksDown: [1, 1], blocksUp: [1] }
const cases = kernelCases(network, [16, 16, 8])

t.test('there are cases for every kind of convolution, norms and up-sampling', async t => {
  for (const wanted of [
    /^conv3d-forward\/1to8ch\/16x16x8$/,
    /^conv3d-input-gradient\/8ch\//,
    /^conv3d-filter-gradient\/8to16ch\/16x16x8\/stride-2$/,
    /^conv3d-forward\/16to8ch\/8x8x4\/kernel-1$/,
    /^norm-conv3d-residual-forward\/16ch\/8x8x4$/,
    /^group-norm-relu-gradient\/16ch\//,
    /^upsample-add\/8ch\//,
  ])
    t.equal(cases.filter(({ name }) => wanted.test(name)).length, 1, String(wanted))
  // Nobody asks for the image's gradient.
  t.same(
    cases.filter(({ name }) => name.startsWith('conv3d-input-gradient/1to8ch')),
    [],
  )
  const forward = cases.find(({ name }) => name === 'conv3d-forward/8ch/16x16x8')!
  t.equal(forward.amount, (2 * 27 * 8 * 8 * 16 * 16 * 8) / 1e12)
})

for (const [backend, flags] of [
  ['native', { backend: 'native', small: true }],
  ['webgpu', { backend: 'webgpu', small: true, adapter: softwareAdapter }],
] as const)
  t.test(
    `${backend}: kernels are right, timed with their peak, and leave no tensor`,
    { skip: skipped(backend) },
    async t => {
      const device = await openMeasured(gpuOptions(flags))
      const { numTensors } = tf.memory()
      const few =
        backend === 'native' ? cases : cases.filter(({ name }) => /^conv3d-.*\/8ch\/|^group-norm-relu\/8ch/.test(name))
      for (const kernel of few) {
        const trial = kernelTrial(kernel, device, 1, 0.001)
        await trial.prepare!()
        const rate = await trial.run()
        t.ok(rate > 0 && rate / trial.peak!() > 0, `${trial.name}: ${rate} ${trial.unit}`)
        await trial.close!()
      }
      t.equal(tf.memory().numTensors, numTensors)
      if (backend === 'webgpu')
        t.match(device.description, /^SwiftShader .*driver.* \(software\), features .*subgroups/)
      t.notOk(device.isGpu)
      device.close()
    },
  )

t.test('a kernel that computes something else is not timed', { skip: skipped('native') }, async t => {
  const device = await openMeasured(gpuOptions({ backend: 'native' }))
  const right = cases.find(({ name }) => name === 'conv3d-forward/8ch/16x16x8')!
  // Off by a thousandth on the native backend alone.
  const checked: KernelCase['checked'] = () => {
    const call = right.checked()
    const factor = tf.getBackend() === 'native' ? 1.001 : 1
    return { ...call, run: () => call.run().map(output => output.mul(factor)) }
  }
  const difference = await differenceFromPlainLoops(device, checked)
  t.ok(difference > 0.0005 && difference < 0.002, `${difference}`)
  await t.rejects(kernelTrial({ ...right, checked }, device, 1, 0.001).prepare!(), {
    message: /off TensorFlow\.js' own loops by 0\.00\d+, allowed are 0\.0001/,
  })
})

t.test('so many calls are timed that waiting does not count', async t => {
  let ms = 0
  const work = (): void => void (ms += 1)
  const settled = async (): Promise<void> => void (ms += 50)
  const seconds = await secondsOf(work, settled, 5, () => ms)
  t.ok(seconds >= 0.001 && seconds < 0.0011, `${seconds}`)
})

t.test('a device that is not there is an error with the cure', { skip: skipped('webgpu') }, async t => {
  const options = gpuOptions({ adapter: 'no such GPU' })
  await t.rejects(openMeasured(options) as Promise<MeasuredDevice>, { code: 'ERR_ENGINE', message: /no such GPU/ })
})
