import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import t from 'tap'
import { openEngine, type EngineOptions, type EngineWithReport } from '../../engine/engine.ts'
import { packError, unpackError } from '../../engine/messages.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Batch, Tensors } from '../../pipeline/engine.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped, testedBackends, type TestedBackend } from '../support/backends.ts'
import { classes, normals } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'
import { projectRoot } from '../support/shared.ts'

const shape: Shape3 = [8, 4, 6]
const voxels = 8 * 4 * 6
const batch = (change: Partial<Batch> = {}): Batch => ({
  image: normals(2 * voxels, 'image'),
  label: classes(2 * voxels, 2, 'label'),
  count: 2,
  shape,
  cases: ['a', 'b'],
  ...change,
})

/** Opens an engine that is closed with the test. */
async function open(t: { teardown(work: () => Promise<void>): void }, options: Partial<EngineOptions>) {
  const engine = await openEngine(engineOptions(options))
  t.teardown(() => engine.close())
  return engine
}

const bytes = (tensors: Tensors): string =>
  [...tensors]
    .map(
      ([name, { data }]) => `${name} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')}`,
    )
    .join('\n')

const failure = (work: Promise<unknown>): Promise<PipelineError> =>
  work.then(
    () => {
      throw new Error('expected a rejection')
    },
    (error: unknown) => error as PipelineError,
  )

const refused = (options: Partial<EngineOptions>): Promise<PipelineError> => failure(openEngine(engineOptions(options)))

/** Weights and optimiser after three steps with dropout. */
async function threeSteps(backend: TestedBackend, seed: number): Promise<string> {
  const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1], dropout: 0.3 }
  const engine = await openEngine(engineOptions({ backend, seed, network }))
  for (let i = 0; i < 3; i++) await engine.step(batch())
  const result = bytes(await engine.save({ optimizer: true }))
  await engine.close()
  return result
}

/** A compiled file as text for an import. */
const compiled = (...parts: string[]): string => JSON.stringify(pathToFileURL(join(projectRoot, 'dist', ...parts)).href)

/** Runs a program in a process of its own; it imports the engine by `load`, when it has had its way with the modules. */
function program(text: string): { status: number | null; stdout: string; stderr: string } {
  const imports = `const load = async () => ({
  ...(await import(${compiled('engine', 'engine.js')})),
  ...(await import(${compiled('test', 'support', 'options.js')})),
})
`
  const args = ['--input-type=module', '--eval', imports + text]
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000, env })
}

for (const backend of testedBackends) {
  const skip = { skip: skipped(backend) }

  t.test(`${backend}: steps lower the loss, and no tensor is left behind`, skip, async t => {
    const engine = await open(t, { backend })
    t.match(engine.info, { backend, precision: 'float32', classes: 2, parameters: 24_698 })
    t.ok(engine.info.device.length > 0 && engine.info.reason.length > 0)
    const first = await engine.step(batch())
    t.match(first, { patches: 2, cases: ['a', 'b'] })
    const { liveTensors, liveBytes } = await engine.report()
    let last = first
    for (let i = 0; i < 5; i++) last = await engine.step(batch())
    await engine.infer(batch().image, 2, shape)
    await engine.save({ optimizer: true })
    t.ok(last.loss < first.loss, `${last.loss} < ${first.loss}`)
    t.match(await engine.report(), { liveTensors, liveBytes })
  })

  t.test(`${backend}: the same seed gives the same bytes`, skip, async t => {
    const [one, again, other] = [
      await threeSteps(backend, 1),
      await threeSteps(backend, 1),
      await threeSteps(backend, 2),
    ]
    t.ok(one === again, 'seed 1 twice')
    t.not(one, other)
  })

  t.test(`${backend}: a run that was saved and loaded goes on as if it had not stopped`, skip, async t => {
    const network = { ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1], dropout: 0.3 }
    const straight = await open(t, { backend, network })
    for (let i = 0; i < 2; i++) await straight.step(batch())
    const saved = await straight.save({ optimizer: true })
    for (let i = 0; i < 2; i++) await straight.step(batch())
    const resumed = await open(t, { backend, network, seed: 1 })
    await resumed.load(saved)
    for (let i = 0; i < 2; i++) await resumed.step(batch())
    const end = bytes(await straight.save({ optimizer: true }))
    t.ok(end === bytes(await resumed.save({ optimizer: true })))
    const fresh = await open(t, { backend, network })
    await fresh.load(new Map([...saved].filter(([name]) => !name.startsWith('optimizer.'))))
    t.equal((await fresh.save({ optimizer: true })).get('optimizer.step')!.data[0], 0, 'weights alone start afresh')
  })

  t.test(`${backend}: a batch with NaN is ERR_ENGINE and leaves the weights as they were`, skip, async t => {
    const engine = await open(t, { backend })
    await engine.step(batch())
    const before = bytes(await engine.save({ optimizer: true }))
    const image = batch().image
    image[17] = NaN
    const error = await failure(engine.step(batch({ image })))
    t.match(error, { code: 'ERR_ENGINE', message: /not finite.*cases: a, b/, facts: { cases: ['a', 'b'] } })
    t.ok(error instanceof PipelineError)
    t.ok(before === bytes(await engine.save({ optimizer: true })))
    await t.rejects(engine.infer(image, 2, shape), { code: 'ERR_ENGINE' })
  })

  t.test(`${backend}: a loss that is not finite leaves the weights as they were`, skip, async t => {
    const engine = await open(t, { backend })
    const weights = new Map(await engine.save())
    const { shape: extents, data } = weights.get('conv_final.2.conv.bias')!
    weights.set('conv_final.2.conv.bias', { shape: extents, data: data.slice().fill(NaN) })
    await engine.load(weights)
    const before = bytes(await engine.save({ optimizer: true }))
    await t.rejects(engine.step(batch()), { code: 'ERR_ENGINE', message: /loss of step 1/ })
    t.ok(before === bytes(await engine.save({ optimizer: true })))
    const { liveTensors } = await engine.report()
    await t.rejects(engine.step(batch()), { code: 'ERR_ENGINE' })
    t.match(await engine.report(), { liveTensors })
  })

  t.test(`${backend}: windows do not depend on what else is in their batch`, skip, async t => {
    const engine = await open(t, { backend })
    const windows = normals(3 * voxels, 'windows')
    const together = await engine.infer(windows, 3, shape)
    t.ok(together.buffer instanceof SharedArrayBuffer)
    t.equal(together.length, 3 * voxels * 2)
    for (let i = 0; i < 3; i++) {
      const alone = await engine.infer(windows.slice(i * voxels, (i + 1) * voxels), 1, shape)
      t.same(alone, together.slice(i * voxels * 2, (i + 1) * voxels * 2), `window ${i}`)
    }
  })

  t.test(`${backend}: logits lie where they are wanted`, skip, async t => {
    const engine = await open(t, { backend })
    const windows = normals(voxels, 'windows')
    const memory = new SharedArrayBuffer((voxels * 2 + 3) * 4)
    const to = new Float32Array(memory, 12)
    await engine.infer(windows, 1, shape, to)
    t.same(to, await engine.infer(windows, 1, shape))
    t.same([...new Float32Array(memory, 0, 3)], [0, 0, 0])
    t.match(await failure(engine.infer(windows, 1, shape, to.subarray(1))), { message: /shared memory for 384 logits/ })
    t.match(await failure(engine.infer(windows, 1, shape, to.slice())), { message: /shared memory for 384 logits/ })
  })
}

t.test('an engine without loss and optimizer infers with a checkpoint of training, and does not train', async t => {
  const trained = await open(t, {})
  await trained.step(batch())
  const { loss: _, optimizer: __, ...options } = engineOptions({ threads: 'auto', seed: 9 })
  const engine = await openEngine(options)
  t.teardown(() => engine.close())
  await engine.load(await trained.save({ optimizer: true }))
  const [expected, found] = await Promise.all([trained, engine].map(one => one.infer(batch().image, 2, shape)))
  t.same(found, expected)
  t.ok((await engine.report()).liveBytes < (await trained.report()).liveBytes / 2)
  const error = await failure(engine.step(batch()))
  t.match(error.message, /opened for inference/)
})

t.test('a learning rate of zero changes nothing', async t => {
  const engine = await open(t, {})
  const before = bytes(await engine.save())
  await engine.setLearningRate(0)
  await engine.step(batch())
  t.ok(before === bytes(await engine.save()))
})

t.test('errors cross the thread with their code and facts', async t => {
  const engine = await open(t, {})
  t.match(await failure(engine.load(new Map())), {
    code: 'ERR_WEIGHTS',
    facts: { missing: Array, unexpected: [] },
    message: /missing \(\d+\)/,
  })
  t.match(await failure(engine.infer(new Float32Array(7 * 4 * 6), 1, [7, 4, 6])), {
    code: 'ERR_DEFINITION',
    facts: { divisor: 2 },
  })
  const label = batch().label
  label[3] = 9
  t.match(await failure(engine.step(batch({ label }))), { code: 'ERR_LABEL', facts: { found: 9, classes: 2 } })
  const bug = await failure(engine.infer(new Float32Array(3), 1, shape))
  t.notOk('code' in bug, 'a bug has no code')
  t.match(bug.stack, /session/)
})

t.test('a bug keeps its message, and facts that cannot cross do not hide the error', t => {
  const back = unpackError(packError(new PipelineError('ERR_ENGINE', 'no', { work: () => 1 })))
  t.match(back, { code: 'ERR_ENGINE', message: 'no' })
  t.match(unpackError(packError('text')), { message: 'text' })
  t.end()
})

t.test('what cannot be opened is refused before any work', async t => {
  t.match(await refused({ network: { ...publishedSegresnet, initFilters: 12 } }), { code: 'ERR_DEFINITION' })
  t.match(await refused({ network: { ...publishedSegresnet, inChannels: 2 } }), { code: 'ERR_DEFINITION' })
})

t.test('calls are served in order, those before close included, and none after it', async t => {
  const engine: EngineWithReport = await openEngine(engineOptions({}))
  const order: string[] = []
  const first = engine.step(batch()).then(() => order.push('step'))
  const second = engine.infer(batch().image, 2, shape).then(() => order.push('infer'))
  await engine.close()
  await Promise.all([first, second])
  t.same(order, ['step', 'infer'])
  t.match(await failure(engine.step(batch())), { code: 'ERR_ENGINE', message: /closed/ })
  await engine.close()
})

t.test('a process ends by itself after close; TensorFlow.js says nothing and is in the thread alone', t => {
  const { status, stdout, stderr } = program(`
import { Module } from 'node:module'
const { openEngine, engineOptions } = await load()
const engine = await openEngine(engineOptions({}))
const logits = await engine.infer(new Float32Array(64), 1, [4, 4, 4])
console.log(logits.length, Object.keys(Module._cache).filter(file => file.includes('@tensorflow')).length)
await engine.close()`)
  t.equal(stderr, '')
  t.equal(status, 0)
  t.equal(stdout, '128 0\n')
  t.end()
})

t.test('when the thread dies, what is in flight and what comes later is ERR_ENGINE', t => {
  const { status, stdout, stderr } = program(`
import threads from 'node:worker_threads'
import { syncBuiltinESMExports } from 'node:module'
let thread
threads.Worker = class extends threads.Worker {
  constructor(...args) {
    super(...args)
    thread = this
  }
}
syncBuiltinESMExports()
const { openEngine, engineOptions } = await load()
const engine = await openEngine(engineOptions({}))
const image = new Float32Array(2 * 16 * 16 * 16).fill(0.5)
const told = []
const flight = engine.infer(image, 2, [16, 16, 16]).catch(error => told.push(error))
thread.terminate()
await flight
await engine.infer(image, 2, [16, 16, 16]).catch(error => told.push(error))
await engine.close()
for (const { code, message } of told) console.log(code, message)`)
  const line = "ERR_ENGINE the engine's thread ended with code 1; the run cannot go on\n"
  t.equal(stderr, '')
  t.equal(stdout, line + line)
  t.equal(status, 0)
  t.end()
})
