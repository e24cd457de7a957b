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
  dataset: { phantoms: { training: 2, validation: 1, testing: 0, shape: [32, 32, 16], folder: 'phantoms' } },
  network: { kind: 'segresnet', initFilters: 8, blocksDown: [1, 1], blocksUp: [1] },
  stages: [
    { kind: 'load' },
    { kind: 'map-label', classes: 2 },
    { kind: 'channel-first' },
    { kind: 'resample', spacing: [10, 10, 14] },
    { kind: 'clip' },
    { kind: 'pad', size: [16, 16, 8] },
    { kind: 'crop', size: [16, 16, 8] },
    { kind: 'batch', size: 1 },
    { kind: 'train', epochs: 2, validate: { every: 2, window: [16, 16, 8], overlap: 0.25 } },
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

const options = { skip: skipped('webgpu') || skipped('native'), timeout: 300_000 }

t.test('two trainings at once on one GPU have the losses of native, and end by themselves', options, async t => {
  const dir = t.testdir({ 'train.json': JSON.stringify(train) })
  const file = join(dir, 'train.json')
  const native = await runPipeline([file, '--set', 'engine.backend=native'])
  t.equal(native.code, 0, native.stderr)
  const both = await Promise.all(['a', 'b'].map(name => runPipeline([file, ...onGpu, '--set', `output=${name}`])))
  const expected = lossesIn(join(dir, 'out'))
  t.equal(expected.length, 4)
  for (const [i, name] of ['a', 'b'].entries()) {
    const { code, stdout, stderr } = both[i]!
    t.equal(code, 0, stderr)
    t.match(stderr, /^engine: webgpu, float32, SwiftShader.*, driver SwiftShader driver .*\(asked for; it is software/m)
    t.match(stderr, /^GPU memory: what the GPU has; up to \d.* wanted$/m)
    t.match(stdout, /, webgpu, float32, SwiftShader/)
    const difference = maxDifference(lossesIn(join(dir, name)), expected)
    t.ok(difference < 1e-4, `losses differ by ${difference}`)
    const { engine, gpuMemory } = JSON.parse(readFileSync(join(dir, name, 'run.json'), 'utf8'))
    t.match(engine, {
      backend: 'webgpu',
      precision: 'float32',
      device: /SwiftShader/,
      gpu: { driver: /SwiftShader driver/, largestTensorBytes: Number },
    })
    t.match(gpuMemory, { limitBytes: null, parts: [{ what: /optimiser/ }, { what: /step/ }, { what: /window/ }] })
    t.ok(gpuMemory.peakBytes > gpuMemory.parts[0].bytes)
  }
})

t.test('a GPU that is lost ends a training clearly, with the checkpoint it can go on from', options, async t => {
  const dir = t.testdir({ 'train.json': JSON.stringify(train) })
  const file = join(dir, 'train.json')
  const preload = pathToFileURL(join(projectRoot, 'dist/test/support/lose-gpu.js')).href
  const lost = await runPipeline([file, ...onGpu], {
    NODE_OPTIONS: `--import=${preload}`,
    LOSE_GPU_AFTER: join(dir, 'out/.running/last.safetensors'),
  })
  t.equal(lost.code, 1)
  t.match(lost.stderr, /the GPU was lost \(.+\): its driver was reset/)
  t.notMatch(lost.stderr, /internal error/)
  const [, last] = /to train on from there, .*, set "network.weights" to (\S+);/.exec(lost.stdout) ?? []
  t.ok(last?.startsWith(join(dir, 'out')), lost.stdout)
  const checkpoint = await readCheckpoint(last!)
  t.equal(checkpoint.tensors.get('optimizer.step')!.data[0], 2, 'that of the last whole epoch')
  const again = await runPipeline([file, '--set', `network.weights=${last}`, '--set', 'stages.train.epochs=1'])
  t.equal(again.code, 0, again.stderr)
  const resumed = await readCheckpoint(join(dir, 'out/last.safetensors'))
  t.equal(resumed.tensors.get('optimizer.step')!.data[0], 4)
})
