import t from 'tap'
import { networkFromTrainConf } from '../../../interop/mmar/train-conf.ts'
import { publishedSegresnet } from '../../../model/segresnet.ts'
import { validateDefinition } from '../../../pipeline/definition.ts'
import { mmarFiles, publishedNetworkArgs } from '../../support/mmar.ts'

const args = { ...publishedNetworkArgs, in_channels: 1, out_channels: 2 }

t.test('the network of a train_conf that holds nothing else', async t => {
  const found = networkFromTrainConf({ train: { model: { name: 'SegResNet', args } } })
  t.same(found!.network, publishedSegresnet)
  t.equal(found!.pipeline, undefined)
  t.same(
    found!.lines.map(({ outcome, file, pointer }) => [outcome, file, pointer]),
    [['taken', 'train_conf', '/train/model']],
  )
})

t.test('the component under "model" that is nearest to the top is taken', async t => {
  const deep = { name: 'UNet', args: {} }
  const found = networkFromTrainConf({
    a: { b: { c: { model: deep } } },
    list: [{ model: { path: 'monai.networks.nets.SegResNet', args: { init_filters: 16 } } }],
    model: { weights: 1 },
  })
  t.equal(found!.network.initFilters, 16)
  t.equal(networkFromTrainConf({ model: { ts_path: 'x' }, other: [1, 'model'] }), undefined)
})

t.test('a whole configuration also gives the stages of each task', async t => {
  const found = networkFromTrainConf(mmarFiles()['config/config_train.json'])!
  t.same(found.network, publishedSegresnet)
  const { train, infer, evaluate } = found.pipeline!
  const common = { dataset: { list: 'a.json' }, output: 'o', network: { ...found.network, weights: 'w.safetensors' } }
  for (const [task, stages] of Object.entries({ train, infer, evaluate }))
    t.doesNotThrow(() => validateDefinition({ ...common, task, stages }, '/'), task)
  t.match(train.at(-1), { kind: 'train', epochs: 1260 })
  t.equal(found.pipeline!.seed, 0)
})

t.test('maps are objects, and whatever else there may be does no harm', async t => {
  const map = new Map<unknown, unknown>([
    [
      'train',
      new Map([
        [
          'model',
          new Map<string, unknown>([
            ['name', 'SegResNet'],
            ['args', new Map([['init_filters', 32n]])],
          ]),
        ],
      ]),
    ],
  ])
  t.equal(networkFromTrainConf(map)!.network.initFilters, 32)
  const loop: Record<string, unknown> = { x: 1 }
  loop['self'] = loop
  let deep: unknown = { model: { name: 'SegResNet' } }
  for (let i = 0; i < 5000; i++) deep = { deep }
  const wide = Array.from({ length: 50_000 }, (_, i) => ({ i }))
  for (const nothing of [undefined, null, 3, 'text', [], {}, () => 1, new Float32Array(3), Symbol('x'), loop, deep])
    t.equal(networkFromTrainConf(nothing), undefined, String(typeof nothing))
  t.throws(() => networkFromTrainConf(wide), { code: 'ERR_DEFINITION' })
})

t.test('a network that cannot be built here is an error that says which', async t => {
  t.throws(() => networkFromTrainConf({ train: { model: { name: 'UNet', args: {} } } }), {
    code: 'ERR_DEFINITION',
    message: /train_conf \/train\/model: .*found "UNet"/,
  })
})
