import t from 'tap'
import { openDevice } from '../../../engine/backends/webgpu/adapters.ts'
import { surveyAdapters } from '../../../engine/backends/webgpu/survey.ts'
import { skipped, softwareAdapter, withBackend } from '../../support/backends.ts'

const skip = { skip: skipped('webgpu') }

/** A backend on a device of its own, with a tensor in its memory. */
async function backendWithTensor() {
  // Prepares what TensorFlow.js looks for when its backend is loaded.
  await withBackend('webgpu', () => {})
  const { GpuBackend } = await import('../../../engine/backends/webgpu/backend.ts')
  const { device } = await openDevice({ adapter: softwareAdapter }, await surveyAdapters())
  const backend = new GpuBackend(device)
  const tensor = backend.write(Float32Array.of(1, 2, 3), [3], 'float32')
  backend.uploadToGPU(tensor)
  return { device, backend, tensor }
}

t.test('a read that the loss of the device overtakes is ERR_ENGINE, and so is all that comes later', skip, async t => {
  const { device, backend, tensor } = await backendWithTensor()
  t.same(await backend.read(tensor), [1, 2, 3])
  const lost = { code: 'ERR_ENGINE', message: /^the GPU was lost \(.+\): .* the weights on it are gone$/ }
  const other = backend.output([3]).dataId
  const inFlight = backend.read(other)
  device.destroy()
  await t.rejects(inFlight, lost)
  await t.rejects(backend.read(other), lost, 'at once')
  await t.rejects(backend.finished(), lost)
  t.throws(() => backend.write(Float32Array.of(1), [1], 'float32'), lost)
  t.throws(() => backend.output([3]), lost)
  backend.disposeData(other, true)
})

t.test('a device that is given back was not lost', skip, async t => {
  const { device, backend } = await backendWithTensor()
  backend.close()
  t.equal((await device.lost).reason, 'destroyed')
  await t.rejects(backend.read(backend.output([3]).dataId), { message: /gave no result/ })
})

t.test('no memory is said once, and work can go on', skip, async t => {
  const { device, backend } = await backendWithTensor()
  const { pushErrorScope, popErrorScope } = device
  // The processor that plays a GPU has more than a test should ask for.
  Object.assign(device, {
    pushErrorScope: () => pushErrorScope.call(device, 'out-of-memory'),
    popErrorScope: () => popErrorScope.call(device).then(() => ({ message: 'none left' })),
  })
  const large = backend.output([1 << 20]).dataId
  Object.assign(device, { pushErrorScope, popErrorScope })
  await t.rejects(backend.read(large), { code: 'ERR_ENGINE', message: /^no GPU memory for a tensor of 4\.00 MiB/ })
  backend.disposeData(large, true)
  t.same(await backend.read(backend.output([3]).dataId), [0, 0, 0])
  backend.close()
})
