import t from 'tap'
import type { Adapter, Survey } from '../../engine/backends/webgpu/adapters.ts'
import { surveyAdapters } from '../../engine/backends/webgpu/survey.ts'
import { chooseBackend, type Choice } from '../../engine/choice.ts'
import type { EngineOptions } from '../../engine/options.ts'
import { skipped, softwareAdapter } from '../support/backends.ts'

const adapter = (name: string, change: Partial<Adapter> = {}): Adapter => ({
  name,
  driver: `${name} driver`,
  software: false,
  features: ['shader-f16'],
  largestBinding: 2 ** 30,
  ...change,
})
const software = adapter('SwiftShader Device', { software: true })

type Asked = Partial<Pick<EngineOptions, 'precision' | 'adapter'>>

const choose = (survey: Survey, asked: Asked = {}): Promise<Choice> =>
  chooseBackend({ precision: 'float32', ...asked }, () => Promise.resolve(survey))

const unasked = (): Promise<Survey> => {
  throw new Error('the drivers were asked')
}

t.test('a hardware GPU is taken, the first of several', async t => {
  const survey = { adapters: [adapter('A'), adapter('B'), software] }
  t.same(await choose(survey), {
    backend: 'webgpu',
    adapter: 'A',
    reason: 'auto: a GPU is there',
    isOptional: true,
  })
})

t.test('without one native is taken, and one line says why', async t => {
  for (const [survey, reason] of [
    [{ adapters: [], trouble: 'libvulkan.so.1 is not there' }, 'auto: no GPU: libvulkan.so.1 is not there'],
    [{ adapters: [] }, 'auto: no GPU: its driver is not there'],
    [{ adapters: [software] }, 'auto: no GPU, only a software adapter (SwiftShader Device)'],
  ] as const)
    t.same(await choose(survey), { backend: 'native', reason })
})

t.test("a precision that only native has is native's, and no driver is asked", async t => {
  for (const precision of ['bfloat16', 'bfloat16-emulated'] as const)
    t.match(await chooseBackend({ precision }, unasked), { backend: 'native', reason: new RegExp(`"${precision}"`) })
})

t.test('float16-matrix takes the first GPU with a unit for it, and says what the others lack', async t => {
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix']
  const half = adapter('Half')
  const unfit = adapter('Unfit', { features })
  const able = adapter('Able', { features, matrixUnit: { m: 16, n: 16, k: 16, subgroup: 32 } })
  const asked = { precision: 'float16-matrix' } as const
  t.match(await choose({ adapters: [half, unfit, able] }, asked), { adapter: 'Able', isOptional: false })
  for (const [survey, message] of [
    [half, /^\/engine\/precision: "float16-matrix" .*"Half" has no subgroups and no chromium-.*matrix; use "float16"$/],
    [unfit, /"Unfit" has no matrix unit that multiplies float16 and adds in float32; use "float16"$/],
    [adapter('Old', { features: [] }), /"Old" has no shader-f16 and no .*; use "float32"$/],
  ] as const)
    await t.rejects(choose({ adapters: [survey] }, asked), { code: 'ERR_ENGINE', message })
})

t.test('float16 takes the first GPU that has it, and is refused without one', async t => {
  const old = adapter('Old', { features: [] })
  t.match(await choose({ adapters: [old, adapter('New')] }, { precision: 'float16' }), {
    adapter: 'New',
    isOptional: false,
  })
  await t.rejects(choose({ adapters: [old] }, { precision: 'float16' }), {
    code: 'ERR_ENGINE',
    message: /^\/engine\/precision: .*"Old" has no shader-f16; use "float32"/,
  })
  await t.rejects(choose({ adapters: [software] }, { precision: 'float16' }), {
    code: 'ERR_ENGINE',
    message: /there is no GPU, only a software adapter/,
  })
})

t.test('an adapter that is named is taken, and nothing in its place', async t => {
  const choice = await chooseBackend({ precision: 'float32', adapter: 'swift' }, unasked)
  t.match(choice, { backend: 'webgpu', adapter: 'swift', isOptional: false })
})

t.test('the drivers are asked in a process of its own', { skip: skipped('webgpu') }, async t => {
  const { adapters, trouble } = await surveyAdapters()
  t.equal(trouble, undefined)
  t.match(adapters, [{ name: new RegExp(softwareAdapter), software: true }])
  t.notOk('GPUDevice' in globalThis, 'Dawn is not in this one')
})
