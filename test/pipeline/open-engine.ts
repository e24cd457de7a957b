import t from 'tap'
import type { Definition } from '../../pipeline/definition.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { openFittingEngine, type OpenedEngine } from '../../pipeline/open-engine.ts'

type Opened = OpenedEngine['engine']

const definition = (engine: object): Definition =>
  ({
    task: 'infer',
    engine: { backend: 'auto', precision: 'float32', threads: 'auto', ...engine },
    stages: [{ kind: 'infer', window: [64, 64, 32] }],
  }) as unknown as Definition

/** A GPU with room for 1 MB, or one that cannot have such tensors, and native; notes what is opened and closed. */
function opener(need: () => Promise<{ bytes: number; deviceBytes: number }>, canHold = async () => true) {
  const told: string[] = []
  const open = ({ engine: { backend } }: { readonly engine: { readonly backend: string } }): Promise<Opened> => {
    const name = backend === 'native' ? 'native' : 'webgpu'
    told.push(`open ${name}`)
    const gpu = { driver: '', largestTensorBytes: 1e6, memoryBytes: 1e6 }
    const info = { backend: name, device: 'A GPU', reason: 'auto: a GPU is there', ...(name === 'webgpu' && { gpu }) }
    const close = async (): Promise<void> => void told.push(`close ${name}`)
    return Promise.resolve({ info, need, close, canHold } as unknown as Opened)
  }
  return { told, open }
}

const little = async () => ({ bytes: 0, deviceBytes: 5e5 })
const tooMuch = async () => ({ bytes: 0, deviceBytes: 2e6 })
const impossible = async (): Promise<never> => {
  throw new PipelineError('ERR_DEFINITION', 'a window needs larger tensors than there can be')
}

t.test('a GPU that holds the work is kept, with its plan', async t => {
  const { told, open } = opener(little)
  const { engine, gpuPlan } = await openFittingEngine(definition({}), open)
  t.equal(engine.info.backend, 'webgpu')
  t.match(gpuPlan, { adapter: 'A GPU', limitBytes: 1e6, peakBytes: 5e5 })
  t.same(told, ['open webgpu'])
})

t.test('auto passes over a GPU that does not hold the work, and says why', async t => {
  for (const [need, why, canHold] of [
    [little, /^auto: "A GPU" does not hold it: it has no 488\.3 KiB to give now$/, async () => false],
    [
      tooMuch,
      /^auto: "A GPU" does not hold it: expected at least 1\.91 MiB \(2000000 bytes\), found 976\.6 KiB: [^;]+$/,
    ],
    [impossible, /^auto: "A GPU" does not hold it: a window needs larger tensors/],
  ] as const) {
    const { told, open } = opener(need, canHold)
    const { engine, gpuPlan } = await openFittingEngine(definition({}), open)
    t.match(engine.info, { backend: 'native', reason: why })
    t.equal(gpuPlan, undefined)
    t.same(told, ['open webgpu', 'close webgpu', 'open native'])
  }
})

t.test('what was asked for by name is refused, and closed', async t => {
  for (const engine of [{ backend: 'webgpu' }, { adapter: 'A GPU' }, { precision: 'float16' }]) {
    const { told, open } = opener(tooMuch)
    const message = /^\/engine\/gpuMemory: expected at least 1\.91 MiB \(2000000 bytes\), found 976\.6 KiB/
    await t.rejects(openFittingEngine(definition(engine), open), { code: 'ERR_DEFINITION', message })
    t.same(told, ['open webgpu', 'close webgpu'])
  }
})

t.test('a bug is no reason to take another', async t => {
  const { told, open } = opener(() => Promise.reject(new TypeError('a bug')))
  await t.rejects(openFittingEngine(definition({}), open), { message: 'a bug' })
  t.same(told, ['open webgpu', 'close webgpu'])
})
