import t from 'tap'
import { gpuOptions } from '../../../bench/gpu/options.ts'

t.test("the published network's training is measured unless something else is said", async t => {
  t.match(gpuOptions({}), { backend: 'webgpu', shape: [224, 224, 32], batch: 8, initFilters: 8 })
  t.notOk('adapter' in gpuOptions({}))
  const said = { backend: 'native', adapter: 'GPU', shape: '64x48x32', batch: '2', channels: '16', rounds: '3' }
  t.match(gpuOptions({ ...said, small: true }), {
    backend: 'native',
    adapter: 'GPU',
    shape: [64, 48, 32],
    batch: 2,
    initFilters: 16,
    rounds: 3,
  })
})

t.test('small shapes are still divided by the network', async t => {
  const { shape } = gpuOptions({ small: true })
  t.ok(shape.every(extent => extent % 8 === 0))
})

t.test('what cannot be is refused with the option', async t => {
  for (const [flags, message] of [
    [{ backend: 'abacus' }, /--backend: expected one of webgpu, .*, found "abacus"/],
    [{ shape: '224x224' }, /--shape: expected voxels along x, y and z .* found "224x224"/],
    [{ shape: '8x8x-8' }, /--shape/],
    [{ shape: '8x8x' }, /--shape/],
    [{ batch: '0' }, /--batch: expected a whole number from 1 up, found "0"/],
    [{ rounds: 'many' }, /--rounds/],
    [{ channels: '8.5' }, /--channels/],
  ] as const)
    t.throws(() => gpuOptions(flags), { code: 'ERR_DEFINITION', message })
})
