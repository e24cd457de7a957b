import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { deviceLines } from '../../bin/devices.ts'
import type { Devices } from '../../engine/devices.ts'
import { validateDefinition } from '../../pipeline/definition.ts'
import { validate } from '../../pipeline/explain.ts'
import { skipped, softwareAdapter } from '../support/backends.ts'
import { projectRoot } from '../support/shared.ts'

const bin = join(projectRoot, 'dist/bin/run-pipeline.js')

/** What is in the environment of a machine whose drivers are not there, and of one that has SwiftShader alone. */
const machines = { none: { VK_DRIVER_FILES: '/there/is/none.json' }, software: {} } as const

function runPipeline(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      env: { ...process.env, NODE_OPTIONS: '', XDG_CACHE_HOME: cache, ...environment },
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', chunk => (stdout += chunk))
    child.stderr.on('data', chunk => (stderr += chunk))
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
  })
}

const cache = t.testdir({})

const train = {
  task: 'train',
  memory: '1GiB',
  dataset: { phantoms: { training: 1, validation: 0, testing: 0, shape: [32, 32, 16], folder: 'phantoms' } },
  network: { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] },
  stages: [
    { kind: 'load' },
    { kind: 'map-label', classes: 2 },
    { kind: 'channel-first' },
    { kind: 'resample', spacing: [7, 7, 14] },
    { kind: 'clip' },
    { kind: 'pad', size: [32, 32, 8] },
    { kind: 'crop', size: [32, 32, 8] },
    { kind: 'batch', size: 1 },
    { kind: 'train', epochs: 1, validate: { every: 0, window: [32, 32, 8] } },
  ],
  output: 'out',
}

t.test('without a driver devices names native and why, and exits with 0', async t => {
  const { code, stdout, stderr } = await runPipeline(['devices'], machines.none)
  t.equal(code, 0)
  t.equal(stderr, '', 'drivers and Dawn print nothing')
  t.match(stdout, /^webgpu: no GPU: .+; see docs\/gpu\.md$/m)
  t.match(stdout, /^native: .+, \d+ threads, \w+/m)
  t.match(stdout, /^"backend": "auto" takes native \(auto: no GPU: .+\)$/m)
})

t.test('devices lists adapters, for people and for machines', { skip: skipped('webgpu') }, async t => {
  const { code, stdout, stderr } = await runPipeline(['devices', '--json'])
  t.equal(code, 0)
  t.equal(stderr, '')
  const devices = JSON.parse(stdout)
  t.match(devices, {
    status: 'ok',
    webgpu: { adapters: [{ name: new RegExp(softwareAdapter), driver: /SwiftShader/, software: true }] },
    native: { threads: Number },
    auto: { backend: 'native', reason: /only a software adapter \(SwiftShader/ },
  })
  t.ok(devices.webgpu.adapters[0].largestBinding >= 2 ** 27)
  const text = (await runPipeline(['devices'])).stdout
  t.match(text, /^ {2}SwiftShader.*\n {5}kind +software, for tests only\n {5}driver +SwiftShader/m)
  t.match(text, /^ {5}largest tensor +1\.00 GiB$/m)
})

t.test('a hardware GPU is what auto takes', t => {
  const devices: Devices = {
    webgpu: {
      adapters: [
        {
          name: 'NVIDIA H200',
          count: 4,
          driver: 'NVIDIA: 550.54.15',
          software: false,
          features: ['shader-f16'],
          largestBinding: 2 ** 31,
        },
      ],
    },
    native: { processor: 'A processor', threads: 8, isa: 'avx2', bfloat16: false },
    tensorflow: { name: '@tensorflow/tfjs-node-gpu', version: '4.22.0', folder: '/somewhere' },
    auto: { backend: 'webgpu', adapter: 'NVIDIA H200', reason: 'auto: a GPU is there', isOptional: true },
  }
  const text = deviceLines(devices).join('\n')
  t.match(text, /^ {2}NVIDIA H200 \(4 of this name; the first is taken\)$/m)
  t.match(text, /kind +hardware\n +driver +NVIDIA: 550\.54\.15\n.*\n +precision +float32, float16\n/)
  t.match(
    text,
    /native: A processor, 8 threads, avx2\ntensorflow: @tensorflow\/tfjs-node-gpu 4\.22\.0 in \/somewhere\n/,
  )
  t.match(text, /"backend": "auto" takes "NVIDIA H200" \(auto: a GPU is there\)$/)
  t.end()
})

t.test('auto trains on native where there is no GPU, and says why in one line', async t => {
  const dir = t.testdir({ 'train.json': JSON.stringify(train) })
  const { code, stdout, stderr } = await runPipeline([join(dir, 'train.json'), '--progress', 'plain'], machines.none)
  t.equal(code, 0, stderr)
  t.match(stderr, /^engine: native, float32, \d+ threads, .+ \(auto: no GPU: .+\); 24,698 parameters$/m)
  t.match(stdout, /, native, float32, \d+ threads, /)
  t.notMatch(stderr, /warning/i)
})

t.test('a GPU that is asked for and missing is refused with the cure before anything is made', async t => {
  const dir = t.testdir({ 'train.json': JSON.stringify(train) })
  const args = [join(dir, 'train.json'), '--json', '--set', 'engine.backend=webgpu']
  const { code, stdout } = await runPipeline(args, machines.none)
  // The machine lacks it, not the definition: another one may have it.
  t.equal(code, 1)
  const error = /^\/engine\/backend: .*or use "native"/
  t.match(JSON.parse(stdout), { status: 'failed', exitCode: 1, error })
  t.notOk(existsSync(join(dir, 'phantoms')), 'no phantom was made')
  t.notOk(existsSync(join(dir, 'out')), 'nothing was written')
})

t.test('so is what an adapter lacks, with what is there', { skip: skipped('webgpu') }, async t => {
  const refused = async (engine: object, message: RegExp, code = 'ERR_ENGINE', size = [32, 32, 8]) => {
    const stages = train.stages.map(stage => ('size' in stage && stage.kind !== 'batch' ? { ...stage, size } : stage))
    const definition = validateDefinition({ ...train, engine, stages }, '/nowhere')
    await t.rejects(validate(definition), { code, message }, JSON.stringify(engine))
  }
  const software = { backend: 'webgpu', adapter: softwareAdapter }
  await refused(
    { backend: 'webgpu' },
    /^\/engine\/backend: no GPU was found; only software adapters are there: "SwiftShader.*name one with "adapter"/,
  )
  await refused(
    { backend: 'webgpu', adapter: 'H200' },
    /^\/engine\/adapter: no adapter has "H200" in its name; choose one of "SwiftShader/,
  )
  await refused(
    { ...software, precision: 'float16' },
    /^\/engine\/precision: the adapter "SwiftShader.*" has no shader-f16.*use "float32"/,
  )
  await refused(
    { ...software, precision: 'float16-matrix' },
    /^\/engine\/precision: the adapter "SwiftShader.*" has no shader-f16 .*and no chromium-experimental-subgroup-matrix.*use "float32"/,
  )
  await refused(
    { precision: 'float16' },
    /^\/engine\/precision: "float16" is computed by GPUs only, and there is no GPU, only a software adapter/,
  )
  await refused(
    { ...software, gpuMemory: '1MiB' },
    /^\/engine\/gpuMemory: expected at least .* MiB \(\d+ bytes\), found 1\.00 MiB: .* for parameters and the optimiser's state, .* for a step on 32 x 32 x 8, .*raise it/,
    'ERR_DEFINITION',
  )
  await refused(
    software,
    /a patch or window of 1024 x 1024 x 64 voxels .*a tensor of 2\.00 GiB does not fit the adapter, whose kernels see at most 1\.00 GiB at once; .*use "native"$/,
    'ERR_DEFINITION',
    [1024, 1024, 64],
  )
})
