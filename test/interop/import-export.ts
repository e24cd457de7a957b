import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exportCheckpoint } from '../../interop/export-checkpoint.ts'
import { trainConfOf } from '../../interop/segresnet-args.ts'
import { importCheckpoint } from '../../interop/import-checkpoint.ts'
import { readCheckpoint, writeCheckpoint } from '../../model/checkpoint.ts'
import { initialWeights } from '../../model/init.ts'
import { publishedSegresnet, segresnetParameters } from '../../model/segresnet.ts'
import { writeTorch } from '../../model/torch/write-torch.ts'
import { loadDefinition } from '../../pipeline/definition.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import { mmarFiles, publishedNetworkArgs } from '../support/mmar.ts'
import { readWeights } from '../../stages/index.ts'
import { defaultAdam } from '../support/options.ts'
import { decodeModel } from '../support/onnx.ts'
import { sharedPath } from '../support/shared.ts'

const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] }
const weights = initialWeights(segresnetParameters(network), 5)

/** Names, shapes and bits. */
function bits(tensors: Tensors): Record<string, string> {
  return Object.fromEntries(
    [...tensors].map(([name, { shape, data }]) => [
      name,
      `${shape.join('x')} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')}`,
    ]),
  )
}

t.test('.pt to safetensors to .pt, with the state of Adam: the same bits, the network beside it', async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  const state = [...weights].flatMap(([name, { shape, data }]) => [
    [`optimizer.exp_avg.${name}`, { shape, data }] as const,
    [`optimizer.exp_avg_sq.${name}`, { shape, data }] as const,
  ])
  const all: Tensors = new Map([...weights, ...state, ['optimizer.step', { shape: [], data: Float32Array.of(9) }]])
  await writeTorch(at('model.pt'), { tensors: all, optimizer: { ...defaultAdam, learningRate: 0.5 } })
  const { lines } = await importCheckpoint(at('model.pt'))
  t.match(lines.join('\n'), /Adam's state after 9 steps at learning rate 0\.5/)
  t.same(bits((await readCheckpoint(at('model.safetensors'))).tensors), bits(all))
  t.same(JSON.parse(readFileSync(at('model.network.json'), 'utf8')), { ...network, weights: 'model.safetensors' })
  await exportCheckpoint(at('model.safetensors'), at('again.pt'))
  const again = await readCheckpoint(at('again.pt'))
  t.same(bits(again.tensors), bits(all))
  t.equal(again.optimizer?.learningRate, 0.5)
  await exportCheckpoint(at('again.pt'), at('third.safetensors'))
  t.same(bits((await readCheckpoint(at('third.safetensors'))).tensors), bits(all))
  await exportCheckpoint(at('model.safetensors'), at('bare.pt'), { bare: true })
  t.same(bits((await readCheckpoint(at('bare.pt'))).tensors), bits(weights))
})

t.test(
  "a train_conf gives the network, groups included, and the pipeline's definitions where it holds one",
  async t => {
    const folder = t.testdir()
    const at = (name: string): string => join(folder, name)
    const args = {
      ...publishedNetworkArgs,
      in_channels: 1,
      out_channels: 2,
      blocks_down: [1, 1],
      blocks_up: [1],
      num_groups: 4,
    }
    await writeTorch(at('model.pt'), { tensors: weights, trainConf: { train: { model: { name: 'SegResNet', args } } } })
    const alone = await importCheckpoint(at('model.pt'))
    t.match(alone.lines.join('\n'), /from the checkpoint's train_conf/)
    t.same(JSON.parse(readFileSync(alone.network, 'utf8')), { ...network, groups: 4, weights: 'model.safetensors' })
    t.same(alone.definitions, [])

    const whole: object = mmarFiles()['config/config_train.json']
    const published = initialWeights(segresnetParameters(publishedSegresnet), 1)
    await writeTorch(at('whole.pt'), { tensors: published, trainConf: whole })
    const { definitions } = await importCheckpoint(at('whole.pt'))
    t.same(
      definitions,
      ['train', 'infer', 'evaluate'].map(task => at(`whole.${task}.json`)),
    )
    for (const file of definitions) t.doesNotThrow(() => loadDefinition(file), file)
    t.match(loadDefinition(definitions[0]!).stages.at(-1), { kind: 'train', epochs: 1260 })

    await writeTorch(at('odd.pt'), { tensors: weights, trainConf: { train: { model: { name: 'UNet', args: {} } } } })
    t.match(
      (await importCheckpoint(at('odd.pt'))).lines.join('\n'),
      /shapes of the weights/,
      'the shapes speak where it cannot be built',
    )
  },
)

t.test('what is there is not written over, and a refused checkpoint leaves nothing behind', async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  await writeTorch(at('model.pt'), { tensors: weights })
  writeFileSync(at('model.network.json'), 'mine')
  await t.rejects(importCheckpoint(at('model.pt')), {
    code: 'ERR_OUTPUT',
    message: /found model\.network\.json; nothing is written; .*--force/,
  })
  t.same(readdirSync(folder).toSorted(), ['model.network.json', 'model.pt'])
  await importCheckpoint(at('model.pt'), { force: true })
  await t.rejects(importCheckpoint(at('model.safetensors')), { code: 'ERR_OUTPUT', message: /the file that is read/ })
  await t.rejects(
    exportCheckpoint(at('model.pt'), at('model.safetensors')),
    { code: 'ERR_OUTPUT', message: /is there already; name another file to write, or allow it with --force/ },
    'export has no --out',
  )
  await t.rejects(exportCheckpoint(at('model.pt'), at('model.h5')), { code: 'ERR_OUTPUT', message: /\.onnx/ })
  await t.rejects(exportCheckpoint(at('model.pt'), join(folder, 'no', 'x.pt')), { code: 'ERR_OUTPUT' })
  t.notOk(existsSync(join(folder, 'no')))
  await t.rejects(importCheckpoint(at('model.pt'), { out: at('other.pt') }), {
    code: 'ERR_OUTPUT',
    message: /other\.pt: expected a file that ends with \.safetensors/,
  })
  mkdirSync(at('folder.safetensors'))
  await t.rejects(importCheckpoint(at('model.pt'), { out: at('folder.safetensors'), force: true }), {
    code: 'ERR_OUTPUT',
    message: /found folder\.safetensors; nothing is written; move it/,
  })
})

t.test('an import whose last file cannot take its place leaves none behind', async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  await writeTorch(at('model.pt'), { tensors: weights })
  mkdirSync(at('model.network.json'))
  await t.rejects(importCheckpoint(at('model.pt'), { force: true }), {
    code: 'ERR_OUTPUT',
    message: /found model\.network\.json; nothing is written; move it/,
  })
  t.same(readdirSync(folder).toSorted(), ['model.network.json', 'model.pt'])
})

t.test('weights of another network are refused with every name', async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  const first = 'convInit.conv.weight'
  const changed = new Map(weights)
  changed.delete('conv_final.0.bias')
  changed.set('extra.weight', { shape: [1], data: new Float32Array(1) })
  changed.set('up_layers.0.0.norm1.bias', { shape: [9], data: new Float32Array(9) })
  await writeTorch(at('changed.pt'), { tensors: changed })
  await t.rejects(importCheckpoint(at('changed.pt')), {
    code: 'ERR_WEIGHTS',
    message:
      /missing \(1\): conv_final\.0\.bias\n  unexpected \(1\): extra\.weight\n  misshapen \(1\): up_layers\.0\.0\.norm1\.bias \(expected 8, found 9\)/,
  })
  await writeTorch(at('other.pt'), { tensors: new Map([['fc.weight', { shape: [2, 2], data: new Float32Array(4) }]]) })
  await t.rejects(importCheckpoint(at('other.pt')), { code: 'ERR_WEIGHTS', message: /missing \(83\).*\n.*fc\.weight/s })
  const given = { network: { ...network, initFilters: 16 }, from: 'a definition' }
  await writeTorch(at('model.pt'), { tensors: weights })
  await t.rejects(importCheckpoint(at('model.pt'), { network: given }), {
    code: 'ERR_WEIGHTS',
    message: new RegExp(`misshapen.*${first} \\(expected 16 x 1 x 3 x 3 x 3, found 8 x`),
  })
  t.same(readdirSync(folder).toSorted(), ['changed.pt', 'model.pt', 'other.pt'])
})

t.test('another network is refused before its values are read', async t => {
  const folder = t.testdir()
  const path = join(folder, 'other.pt')
  const marker = Float32Array.of(12345.678)
  await writeTorch(path, { tensors: new Map([['fc.weight', { shape: [1], data: marker }]]) })
  const bytes = readFileSync(path)
  bytes[bytes.indexOf(Buffer.from(marker.buffer))]! ^= 1 // a wrong checksum, had it been looked at
  writeFileSync(path, bytes)
  await t.rejects(importCheckpoint(path), { code: 'ERR_WEIGHTS', message: /unexpected \(1\): fc\.weight/ })
  await t.rejects(readWeights(path, network), { code: 'ERR_WEIGHTS', message: /unexpected \(1\): fc\.weight/ })
  await t.rejects(readCheckpoint(path), { code: 'ERR_WEIGHTS', message: /checksum/ })

  const header = { 'fc.weight': { dtype: 'F32', shape: [2 ** 38], data_offsets: [0, 2 ** 40] } }
  const text = Buffer.from(JSON.stringify(header).padEnd(120))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(120n)
  const sparse = join(folder, 'sparse.safetensors')
  writeFileSync(sparse, Buffer.concat([length, text]))
  truncateSync(sparse, 128 + 2 ** 40)
  await t.rejects(importCheckpoint(sparse, { out: join(folder, 'out.safetensors') }), {
    code: 'ERR_WEIGHTS',
    message: /unexpected \(1\): fc\.weight/,
  })
})

t.test("an optimiser's state that is not whole is refused, by name", async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  const step = ['optimizer.step', { shape: [], data: Float32Array.of(3) }] as const
  await writeCheckpoint(at('part.safetensors'), new Map([...weights, step]), { network })
  await t.rejects(exportCheckpoint(at('part.safetensors'), at('x.pt')), {
    code: 'ERR_WEIGHTS',
    message: /missing \(50\): optimizer\.exp_avg\./,
  })
  t.same(readdirSync(folder), ['part.safetensors'])
})

t.test('weights that were trained with other groups are refused, though their shapes fit', async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  const path = at('four.safetensors')
  const four = { ...network, groups: 4 }
  await writeCheckpoint(path, weights, { network: four })
  const expected = { code: 'ERR_WEIGHTS', message: /of 8 groups, found some that were trained with 4/ }
  await t.rejects(readWeights(path, network), expected)
  await t.rejects(exportCheckpoint(path, `${path}.onnx`, { network: { network, from: 'a definition' } }), expected)
  t.equal((await readWeights(path, four)).size, weights.size)
  await writeTorch(at('conf.pt'), { tensors: weights, trainConf: trainConfOf(four) })
  await t.rejects(readWeights(at('conf.pt'), network), expected, 'by its train_conf')
  await t.rejects(importCheckpoint(at('conf.pt'), { network: { network, from: 'a definition' } }), expected)
  t.ok((await readWeights(at('conf.pt'), four)).size > 0)
})

t.test('a SegResNet that no definition can name is not imported', async t => {
  const path = join(t.testdir(), 'one-class.pt')
  await writeTorch(path, { tensors: initialWeights(segresnetParameters({ ...network, outChannels: 1 }), 5) })
  await t.rejects(importCheckpoint(path), { code: 'ERR_WEIGHTS', message: /\/outChannels must be >= 2/ })
})

t.test("a safetensors file says its network itself, somebody else's lets the shapes speak", async t => {
  const folder = t.testdir()
  const at = (name: string): string => join(folder, name)
  await writeCheckpoint(at('ours.safetensors'), weights, {
    network: { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] },
  })
  t.match((await exportCheckpoint(at('ours.safetensors'), at('a.pt'))).join('\n'), /metadata/)
  await writeCheckpoint(at('theirs.safetensors'), weights, { network: 'resnet', format: 'pt' })
  t.match((await exportCheckpoint(at('theirs.safetensors'), at('b.pt'))).join('\n'), /shapes of the weights/)
})

t.test('an ONNX file holds the same bits, and nothing of the optimiser', async t => {
  const folder = t.testdir()
  await writeTorch(join(folder, 'model.pt'), { tensors: weights, trainConf: {} })
  await exportCheckpoint(join(folder, 'model.pt'), join(folder, 'model.onnx'))
  const { graph, metadata } = decodeModel(readFileSync(join(folder, 'model.onnx')))
  const held = Object.fromEntries(
    graph.initializers.map(({ name, shape, bytes }) => [
      name,
      `${shape.join('x')} ${Buffer.from(bytes).toString('base64')}`,
    ]),
  )
  const expected = bits(weights)
  t.same(Object.fromEntries(Object.keys(expected).map(name => [name, held[name]])), expected)
  t.notOk(Object.keys(held).some(name => name.startsWith('optimizer')))
  t.same(JSON.parse(metadata['network'] ?? '{}'), network)
})

const golden = sharedPath('golden', 'after-5-steps.pt')
t.test(
  "PyTorch's own checkpoint makes the round trip bit for bit",
  golden ? {} : { skip: 'shared data not found' },
  async t => {
    const folder = t.testdir()
    await importCheckpoint(golden!, { out: join(folder, 'a.safetensors') })
    await exportCheckpoint(join(folder, 'a.safetensors'), join(folder, 'b.pt'))
    await exportCheckpoint(join(folder, 'b.pt'), join(folder, 'c.safetensors'))
    const [from, to] = [await readCheckpoint(golden!), await readCheckpoint(join(folder, 'c.safetensors'))]
    t.ok(from.tensors.has('optimizer.step'))
    t.same(bits(to.tensors), bits(from.tensors))
  },
)
