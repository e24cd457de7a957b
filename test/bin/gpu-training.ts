import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { readCheckpoint } from '../../model/checkpoint.ts'
import { skipped, softwareAdapter } from '../support/backends.ts'
import { maxDifference } from '../support/numbers.ts'
import { projectRoot } from '../support/shared.ts'

const bin = join(projectRoot, 'dist/bin/run-pipeline.js')

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function runPipeline(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args, '--progress', 'plain'], {
      env: { ...process.env, NODE_OPTIONS: '', ...environment },
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', chunk => (stdout += chunk))
    child.stderr.on('data', chunk => (stderr += chunk))
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
  })
}

const train = {
  task: 'train',
  seed: 5,
  memory: '1GiB',
  dataset: { phantoms: { training: 1, validation: 1, testing: 0, shape: [32, 32, 16], folder: 'phantoms' } },
  network: { kind: 'segresnet', initFilters: 8, blocksDown: [1, 1], blocksUp: [1] },
  stages: [
    { kind: 'load' },
    { kind: 'map-label', classes: 2 },
    { kind: 'channel-first' },
    { kind: 'resample', spacing: [10, 10, 14] },
    { kind: 'clip' },
    { kind: 'pad', size: [16, 16, 8] },
    { kind: 'crop', size: [16, 16, 8], samples: 1 },
    { kind: 'batch', size: 1 },
    { kind: 'train', epochs: 3, validate: { every: 3, window: [16, 16, 8], overlap: 0.25 } },
  ],
  output: 'out',
}

const onGpu = ['--set', 'engine.backend=webgpu', '--set', `engine.adapter=${softwareAdapter}`]

const lines = (path: string): Record<string, unknown>[] =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
const lossesIn = (folder: string): number[] => lines(join(folder, 'steps.jsonl')).map(({ loss }) => loss as number)

const stepsIn = async (path: string): Promise<number> =>
  (await readCheckpoint(path)).tensors.get('optimizer.step')!.data[0]!

const options = { skip: skipped('webgpu') || skipped('native'), timeout: 300_000 }

t.test('of two trainings at once on one GPU', options, async t => {
  const dir = t.testdir({ 'train.json': JSON.stringify(train) })
  const file = join(dir, 'train.json')
  const native = await runPipeline([file, '--set', 'engine.backend=native', '--set', 'output=native'])
  t.equal(native.code, 0, native.stderr)
  const expected = lossesIn(join(dir, 'native'))
  t.equal(expected.length, 3)
  const preload = pathToFileURL(join(projectRoot, 'dist/test/support/lose-gpu.js')).href
  const [whole, lost] = await Promise.all([
    runPipeline([file, ...onGpu, '--set', 'output=whole']),
    runPipeline([file, ...onGpu, '--set', 'output=lost'], {
      NODE_OPTIONS: `--import=${preload}`,
      LOSE_GPU_AFTER: join(dir, 'lost/.running/last.safetensors'),
    }),
  ])

  t.test('one has the losses of native, tells what computed, and ends by itself', t => {
    const { code, stdout, stderr } = whole
    t.equal(code, 0, stderr)
    t.match(stderr, /^engine: webgpu, float32, SwiftShader.*, driver SwiftShader driver .*\(asked for; it is software/m)
    t.match(stderr, /^GPU memory: what the GPU has; wanted \d.*$/m)
    t.match(stdout, /, webgpu, float32, SwiftShader/)
    const difference = maxDifference(lossesIn(join(dir, 'whole')), expected)
    t.ok(difference < 1e-4, `losses differ by ${difference}`)
    const { engine, gpuMemory } = JSON.parse(readFileSync(join(dir, 'whole/run.json'), 'utf8'))
    t.match(engine, {
      backend: 'webgpu',
      precision: 'float32',
      device: /SwiftShader/,
      gpu: { driver: /SwiftShader driver/, largestTensorBytes: Number },
    })
    t.match(gpuMemory, { limitBytes: null, parts: [{ what: /optimiser/ }, { what: /step/ }, { what: /window/ }] })
    t.ok(gpuMemory.peakBytes > gpuMemory.parts[0].bytes)
    t.end()
  })

  t.test('the other loses it: it ends clearly, with the checkpoint that it can go on from', async t => {
    t.equal(lost.code, 1)
    t.match(lost.stderr, /the GPU was lost \(.+\): its driver was reset/)
    t.notMatch(lost.stderr, /internal error/)
    const [, last] = /to train on from there, .*, set "network.weights" to (\S+);/.exec(lost.stdout) ?? []
    t.ok(last?.startsWith(join(dir, 'lost')), lost.stdout)
    t.equal(await stepsIn(last!), 1, 'that of the last whole epoch')
    const onNative = ['--set', 'engine.backend=native', '--set', `network.weights=${last}`]
    const again = await runPipeline([file, ...onNative, '--set', 'output=again'])
    t.equal(again.code, 0, again.stderr)
    t.equal(await stepsIn(join(dir, 'again/last.safetensors')), 4)
    // Its first patch is that of the run before.
    t.ok(lossesIn(join(dir, 'again'))[0]! < expected[0]!, 'it has learned')
  })
})
