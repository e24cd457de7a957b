import t from 'tap'
import { validateDefinition } from '../../pipeline/definition.ts'

const definition = (engine: object): unknown => ({
  task: 'train',
  engine,
  dataset: { phantoms: {} },
  network: { kind: 'segresnet' },
  stages: [
    { kind: 'load' },
    { kind: 'crop', size: [32, 32, 16] },
    { kind: 'batch', size: 1 },
    { kind: 'train', epochs: 1 },
  ],
  output: 'out',
})

const load = (engine: object) => validateDefinition(definition(engine), '/nowhere').engine

t.test('what says something of a GPU goes with backends that may take one', t => {
  t.match(load({ backend: 'webgpu', adapter: 'H200', gpuMemory: '14GiB', precision: 'float16' }), {
    gpuMemory: '14GiB',
    adapter: 'H200',
  })
  t.match(load({ gpuMemory: 1e9 }), { backend: 'auto', gpuMemory: 1e9 })
  t.match(load({ precision: 'float16' }), { backend: 'auto', precision: 'float16' })
  t.match(load({ precision: 'float16-matrix', adapter: 'H200' }), { adapter: 'H200', precision: 'float16-matrix' })
  t.equal(load({}).gpuMemory, undefined)
  t.end()
})

t.test('combinations that no machine could serve are refused with their paths', t => {
  for (const [engine, message] of [
    [{ backend: 'native', adapter: 'H200' }, /\/engine\/adapter: .*"backend" is "native"; leave it out/],
    [{ backend: 'tensorflow', gpuMemory: '1GiB' }, /\/engine\/gpuMemory: .*"backend" is "tensorflow"/],
    [{ precision: 'bfloat16', adapter: 'H200' }, /\/engine\/adapter: .*"bfloat16" is computed by the native backend/],
    [{ backend: 'cpu', precision: 'float16-matrix' }, /\/engine\/precision: the cpu backend .*"backend": "webgpu"/],
    [{ backend: 'native', precision: 'float16' }, /\/engine\/precision: the native backend .*"backend": "webgpu"/],
    [{ backend: 'webgpu', precision: 'bfloat16' }, /\/engine\/precision: the webgpu backend .*"backend": "native"/],
    [{ backend: 'cpu', precision: 'bfloat16' }, /\/engine\/precision: the cpu backend/],
    [{ gpuMemory: 'auto' }, /\/engine\/gpuMemory: .*found "auto"/],
    [{ gpuMemory: 0 }, /\/engine\/gpuMemory/],
    [{ adapter: '' }, /\/engine\/adapter/],
    [{ gpumemory: '1GiB' }, /\/engine\/gpumemory: unknown field .*did you mean "gpuMemory"/],
  ] as const)
    t.throws(() => load(engine), { code: 'ERR_DEFINITION', message }, JSON.stringify(engine))
  t.end()
})
