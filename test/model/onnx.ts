import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { openEngine } from '../../engine/engine.ts'
import { goldenInputs, perturbed } from '../../fixtures/make-golden.ts'
import { adamState } from '../../model/adam.ts'
import { onnxModel, writeOnnx } from '../../model/onnx.ts'
import { sizeOf } from '../../model/parameters.ts'
import { publishedSegresnet, segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import type { Tensors } from '../../pipeline/engine.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped } from '../support/backends.ts'
import { maxDifference, normals } from '../support/numbers.ts'
import { decodeModel, inferWithOnnxRuntime } from '../support/onnx.ts'
import { engineOptions } from '../support/options.ts'
import { projectRoot } from '../support/shared.ts'

const backend = skipped('native') ? 'cpu' : 'native'
const small: SegresnetOptions = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] }

/** Networks that differ in every option, with extents that they halve evenly. */
const networks: readonly [name: string, network: SegresnetOptions, extents: readonly Shape3[]][] = [
  [
    'the published network',
    publishedSegresnet,
    [
      [16, 8, 24],
      [8, 24, 16],
    ],
  ],
  [
    '16 filters, three classes and two levels, trained with dropout',
    { ...small, initFilters: 16, outChannels: 3, dropout: 0.2 },
    [
      [6, 4, 10],
      [2, 12, 4],
    ],
  ],
  [
    'more blocks, four groups',
    { ...publishedSegresnet, blocksDown: [2, 1, 3], blocksUp: [2, 1], groups: 4 },
    [
      [8, 4, 12],
      [12, 8, 4],
    ],
  ],
  [
    'two levels without blocks',
    { ...small, blocksDown: [0, 0], blocksUp: [0] },
    [
      [4, 2, 6],
      [2, 10, 4],
    ],
  ],
  [
    'one level, one group',
    { ...small, initFilters: 3, groups: 1, blocksDown: [1], blocksUp: [] },
    [
      [5, 3, 4],
      [1, 7, 2],
    ],
  ],
]

for (const [name, network, extents] of networks) {
  t.test(`${name}: ONNX Runtime gives the engine's logits, one model for all extents and batches`, async t => {
    const weights = perturbed(network)
    const engine = await openEngine(engineOptions({ backend, network }))
    t.teardown(() => engine.close())
    await engine.load(weights)
    const model = onnxModel(network, weights, '0.0.0')
    for (const shape of extents) {
      for (const count of [1, 3]) {
        const windows = normals(count * sizeOf(shape), `windows ${shape}`)
        const expected = await engine.infer(windows, count, shape)
        const found = await inferWithOnnxRuntime(model, windows, count, shape)
        const difference = maxDifference(found, expected)
        t.comment(`${count} of ${shape.join(' x ')}: logits differ from the ${backend} backend's by ${difference}`)
        t.ok(difference < 2e-5, `${count} of ${shape.join(' x ')}: ${difference}`)
      }
    }
  })
}

t.test("ONNX Runtime gives MONAI's logits", async t => {
  const golden = readFileSync(join(projectRoot, 'fixtures', 'golden', 'network.json'), 'utf8')
  const { logits } = JSON.parse(golden) as { logits: number[] }
  const { network, weights, image, count, shape } = goldenInputs()
  const found = await inferWithOnnxRuntime(onnxModel(network, weights, '0.0.0'), image, count, shape)
  const difference = maxDifference(found, logits)
  t.comment(`logits differ from MONAI's by ${difference}`)
  t.ok(difference < 5e-6, `${difference}`)
})

t.test('the file holds the weights bit for bit, and who wrote it', async t => {
  const weights = perturbed(small)
  const odd = weights.get('convInit.conv.weight')!.data
  new Uint32Array(odd.buffer, odd.byteOffset).set([0x8000_0000, 1, 0x7fc0_1234, 0xff80_0000])
  const folder = t.testdir({})
  const path = join(folder, 'network.onnx')
  await writeOnnx(path, small, weights, '1.2.3')
  t.same(await readdir(folder), ['network.onnx'])
  const model = decodeModel(await readFile(path))
  t.match(model, { irVersion: 8, opset: 17, producerName: 'ctflow', producerVersion: '1.2.3' })
  t.same(JSON.parse(model.metadata['network']!), small)

  const initializers = new Map(model.graph.initializers.map(tensor => [tensor.name, tensor]))
  for (const { name, shape } of segresnetParameters(small)) {
    const { data } = weights.get(name)!
    const found = initializers.get(name)!
    t.same(found.shape, shape, `${name}: shape`)
    t.equal(found.type, 1, `${name}: float32`)
    t.ok(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(found.bytes), `${name}: bits`)
    initializers.delete(name)
  }
  t.same(
    [...initializers.keys()],
    ['group_norm.shape', 'group_norm.ones', 'group_norm.zeros', 'spatial_axes', 'upsample.scales'],
    'besides the weights',
  )
})

t.test('the same network and weights are the same bytes, in a file or not', async t => {
  const weights = perturbed(small)
  const path = join(t.testdir({}), 'network.onnx')
  await writeFile(path, 'an older file')
  await writeOnnx(path, small, weights, '1.2.3')
  const trained: Tensors = new Map([...weights, [adamState.step, { shape: [], data: Float32Array.of(3) }]])
  const written = await readFile(path)
  t.ok(written.equals(onnxModel(small, trained, '1.2.3')), 'whatever the optimiser left')
  const reversed = new Map([...weights].toReversed())
  t.ok(written.equals(onnxModel(small, reversed, '1.2.3')), 'whatever the order of the weights')
})

t.test('weights of another network are refused with what differs', t => {
  const weights = new Map(perturbed(small))
  weights.delete('convInit.conv.weight')
  t.throws(() => onnxModel(small, weights, '0.0.0'), {
    code: 'ERR_WEIGHTS',
    facts: { missing: ['convInit.conv.weight'] },
  })
  t.throws(() => onnxModel({ ...small, initFilters: 16 }, perturbed(small), '0.0.0'), { code: 'ERR_WEIGHTS' })
  t.throws(() => onnxModel({ ...small, groups: 3 }, perturbed(small), '0.0.0'), { code: 'ERR_DEFINITION' })
  t.end()
})

t.test('a folder that is not there is ERR_OUTPUT', async t => {
  const path = join(t.testdir({}), 'no', 'network.onnx')
  await t.rejects(writeOnnx(path, small, perturbed(small), '0.0.0'), { code: 'ERR_OUTPUT' })
})

t.test('a model that protobuf cannot hold is refused with its size, before anything is written', async t => {
  const network = { ...publishedSegresnet, initFilters: 256 }
  const specs = segresnetParameters(network)
  // One array of zeros, never written to, lends every tensor its values: the system gives it no memory.
  const zeros = new Float32Array(Math.max(...specs.map(({ shape }) => sizeOf(shape))))
  const weights: Tensors = new Map(
    specs.map(({ name, shape }) => [name, { shape, data: zeros.subarray(0, sizeOf(shape)) }]),
  )
  const valueBytes = 4 * specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const folder = t.testdir({})
  const refusal = { code: 'ERR_WEIGHTS', message: /at most 2000000000 bytes.*found 48\d{8}; use a network with fewer/ }
  await t.rejects(writeOnnx(join(folder, 'network.onnx'), network, weights, '0.0.0'), refusal)
  t.same(await readdir(folder), [])
  try {
    onnxModel(network, weights, '0.0.0')
    t.fail('expected a refusal')
  } catch (error) {
    const { bytes } = (error as { facts: { bytes: number } }).facts
    t.comment(`${bytes} bytes, ${bytes - valueBytes} of them not values`)
    t.ok(bytes > valueBytes && bytes < valueBytes + 100_000, 'the size is that of the whole file')
  }
})

t.test('ONNX Runtime lets the process end', t => {
  const imports = ['model/onnx.js', 'test/support/onnx.js', 'fixtures/make-golden.js'].map(
    file => `await import(${JSON.stringify(pathToFileURL(join(projectRoot, 'dist', file)).href)})`,
  )
  const text = `
    const [{ onnxModel }, { inferWithOnnxRuntime }, { goldenInputs }] = [${imports.join(', ')}]
    const { network, weights, image, count, shape } = goldenInputs()
    const logits = await inferWithOnnxRuntime(onnxModel(network, weights, '0.0.0'), image, count, shape)
    console.log(logits.length)`
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  const args = ['--input-type=module', '--eval', text]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 120_000,
    env,
  })
  t.same({ status, signal, stdout }, { status: 0, signal: null, stdout: `${2 * 12 * 8 * 6 * 2}\n` }, stderr)
  t.end()
})
