/**
 * `npm run check:bundle`: makes the bundle twice, for the same bytes, and does its work from an unpacked one: in an empty folder
 * with an empty environment, then below a root that holds a shell and glibc alone. Ends with 1 where anything differs. Minutes.
 */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { projectRoot } from '../bench/machine.ts'
import { version } from '../pipeline/version.ts'
import { dynamicLoader } from './bundle/libraries.ts'

const name = `ctflow-${version()}-linux-${process.arch}`
const archive = join(projectRoot(), 'build', `${name}.tar.gz`)
const work = mkdtempSync(join(tmpdir(), 'ctflow bundle '))
/** A software GPU, where this machine has one: Chromium brings it, and it needs nothing but the C runtimes. */
const swiftshader = '/usr/lib/chromium/libvk_swiftshader.so'
const driver = existsSync(swiftshader)

interface Step {
  readonly program: 'run-pipeline' | 'bench'
  readonly args: readonly string[]
  readonly exitCode: number
  /** What it must print, on either stream. */
  readonly says: RegExp
  /** Files that it must leave, below the working folder, with a text in them. */
  readonly leaves?: Readonly<Record<string, string>>
}

const dataset = { phantoms: { training: 2, validation: 1, testing: 2, seed: 1, shape: [48, 48, 16] } }
const network = { kind: 'segresnet', initFilters: 8, blocksDown: [1, 1], blocksUp: [1] }
const before = [{ kind: 'channel-first' }, { kind: 'clip', min: -1000, max: 0 }]
const definitions = {
  'train.json': {
    task: 'train',
    seed: 1,
    dataset,
    network,
    stages: [
      { kind: 'load' },
      { kind: 'map-label', classes: 2 },
      ...before,
      { kind: 'crop', size: [16, 16, 16], samples: 1 },
      { kind: 'batch', size: 1 },
      {
        kind: 'train',
        epochs: 1,
        loss: { kind: 'dice-ce' },
        optimizer: { kind: 'adam', learningRate: 0.002 },
        validate: { every: 1, window: [16, 16, 16], overlap: 0.25, windowBatch: 1 },
      },
    ],
    output: 'train',
  },
  'infer.json': {
    task: 'infer',
    dataset,
    network: { ...network, weights: 'train/best.safetensors' },
    stages: [
      { kind: 'load', keys: ['image'] },
      ...before,
      { kind: 'infer', window: [16, 16, 16], overlap: 0.25, windowBatch: 1 },
      { kind: 'save' },
    ],
    output: 'infer',
  },
  'evaluate.json': {
    task: 'evaluate',
    dataset: { ...dataset, predictions: 'infer/masks' },
    stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
    report: { title: 'Phantoms', viewer: ['images/case_003', 'images/case_004'] },
    output: 'evaluate',
  },
}

/** Dawn, a Vulkan loader and a driver find each other. */
const softwareGpu: Step = {
  program: 'bench',
  args: ['gpu', '--small', '--rounds', '1', '--adapter', 'SwiftShader', '--only', 'webgpu/peak'],
  exitCode: 0,
  says: /SwiftShader.*webgpu\/peak\/multiply-add .*webgpu\/peak\/copy /s,
}

const steps: readonly Step[] = [
  { program: 'run-pipeline', args: ['--version'], exitCode: 0, says: new RegExp(`^${version()}$`, 'm') },
  { program: 'run-pipeline', args: ['devices'], exitCode: 0, says: driver ? /SwiftShader.*native: /s : /native: / },
  { program: 'run-pipeline', args: ['explain', 'train.json'], exitCode: 0, says: /memory/ },
  {
    program: 'run-pipeline',
    args: ['train.json'],
    exitCode: 0,
    says: /held-out/,
    leaves: { 'train/best.safetensors': 'convInit' },
  },
  {
    program: 'run-pipeline',
    args: ['infer.json'],
    exitCode: 0,
    says: /cases: 2 ok/,
    leaves: { 'infer/manifest.jsonl': '"ok"' },
  },
  {
    program: 'run-pipeline',
    args: ['evaluate.json'],
    exitCode: 0,
    says: /dice/,
    leaves: { 'evaluate/latest/index.html': 'NiiVue, BSD' },
  },
  { program: 'run-pipeline', args: ['no-such.json'], exitCode: 2, says: /no-such\.json/ },
  {
    program: 'bench',
    args: ['--', 'gpu', '--backend', 'native', '--small', '--rounds', '1'],
    exitCode: 0,
    says: /native\/train-step.* s .*native\/conv3d-forward/s,
  },
  { program: 'bench', args: ['gpu', '--adapter', 'no-such-GPU'], exitCode: 2, says: /no-such-GPU|no GPU was found/ },
  ...(driver ? [softwareGpu] : []),
]

let wrong = 0
function tell(right: boolean, what: string, details = ''): void {
  console.log(`${right ? 'ok    ' : 'not ok'} ${what}`)
  if (right) return
  wrong += 1
  if (details !== '') console.log(details)
}

/** SHA-256 of a bundle that is made now. */
function made(): string {
  const { status } = spawnSync(process.execPath, [join(projectRoot(), 'dist', 'scripts', 'bundle.js')], {
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error(`the bundle was not made: exit code ${status}`)
  return createHash('sha256').update(readFileSync(archive)).digest('hex')
}

/** `run` starts a program of the bundle in `folder`, which this process sees there. */
function doSteps(where: string, folder: string, run: (step: Step) => ReturnType<typeof started>): void {
  for (const [file, definition] of Object.entries(definitions))
    writeFileSync(join(folder, file), JSON.stringify(definition))
  for (const step of steps) {
    const { status, output } = run(step)
    const missing = Object.entries(step.leaves ?? {})
      .filter(
        ([path, text]) => !existsSync(join(folder, path)) || !readFileSync(join(folder, path), 'utf8').includes(text),
      )
      .map(([path, text]) => `${path} with ${text}`)
    const right = status === step.exitCode && step.says.test(output) && missing.length === 0
    tell(
      right,
      `${where}: ${step.program} ${step.args.join(' ')}`,
      `exit code ${status}, not there: ${missing.join(', ')}\n${output}`,
    )
  }
}

function started(file: string, args: readonly string[], cwd: string, environment: Readonly<Record<string, string>>) {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd,
    env: environment,
    encoding: 'utf8',
    timeout: 300_000,
  })
  return { status, output: error ? error.message : `${stdout}${stderr}` }
}

function unpack(folder: string): string {
  mkdirSync(folder, { recursive: true })
  const { status } = spawnSync('tar', ['-xzf', archive, '-C', folder], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`tar does not unpack ${archive}`)
  return join(folder, name)
}

/** Tells the Vulkan loader of a driver. */
function icdFile(library: string): string {
  const file = join(work, 'icd.json')
  const icd = { file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.0.5' } }
  writeFileSync(file, JSON.stringify(icd))
  return file
}

function inEmptyEnvironment(): void {
  const bundle = unpack(join(work, 'there'))
  const folder = join(work, 'run')
  mkdirSync(folder)
  const environment = { PATH: '/usr/bin:/bin', HOME: work, ...(driver && { VK_DRIVER_FILES: icdFile(swiftshader) }) }
  doSteps('empty environment', folder, ({ program, args }) => started(join(bundle, program), args, folder, environment))
}

/** A root with a shell, the C library and, for the GPU, a driver: no C++ runtime, no Vulkan loader, no tools. */
function belowBareRoot(): void {
  const bare = join(work, 'root')
  const place = (from: string, to = from): void => {
    mkdirSync(dirname(join(bare, to)), { recursive: true })
    copyFileSync(from, join(bare, to))
  }
  place('/bin/sh')
  place(dynamicLoader)
  const libraries = spawnSync(dynamicLoader, ['--list', process.execPath], { encoding: 'utf8' }).stdout
  for (const [, path] of libraries.matchAll(/ => (\/\S+\/lib(?:c|m|dl|pthread)\.so\.\d) /g)) place(path!)
  if (driver) {
    place(swiftshader)
    place(icdFile(swiftshader), '/icd.json')
  }
  unpack(join(bare, 'opt'))
  const folder = join(bare, 'work')
  mkdirSync(folder)
  const run = (command: string): ReturnType<typeof started> =>
    started('unshare', ['-r', 'chroot', bare, '/bin/sh', '-c', `cd /work; ${command}`], work, {
      PATH: '/usr/sbin:/usr/bin:/bin',
      HOME: '/work',
      ...(driver && { VK_DRIVER_FILES: '/icd.json' }),
    })
  const { status, output } = run('exit 0')
  if (status !== 0) {
    console.log(`skipped, since this machine allows no other root: ${output.trim()}`)
    return
  }
  doSteps('bare root', folder, ({ program, args }) => run(`/opt/${name}/${program} ${args.join(' ')}`))
}

/** Every module loads but those that are programs: a file that the tracer missed would be missing here. Short programs may run. */
function everyModuleLoads(): void {
  const app = join(work, 'there', name, 'app')
  const programs = /\/(bin\/run-pipeline|bench\/main|engine\/worker|ours|live|.*-worker)\.js$/
  const modules = readdirSync(join(app, 'dist'), { recursive: true, encoding: 'utf8' })
    .map(path => `/dist/${path}`)
    .filter(path => path.endsWith('.js') && !programs.test(path))
  const script = `for (const path of ${JSON.stringify(modules)}) await import(${JSON.stringify(app)} + path).catch(error => console.log('not loaded:', path, error.message))`
  const { status, output } = started(
    join(work, 'there', name, 'node', 'node'),
    ['--input-type=module', '--eval', script],
    work,
    { PATH: '/usr/bin:/bin' },
  )
  tell(status === 0 && !output.includes('not loaded:'), `${modules.length} modules load`, output)
}

try {
  const first = made()
  tell(first === made(), `the same bytes again: SHA-256 ${first}`)
  inEmptyEnvironment()
  everyModuleLoads()
  belowBareRoot()
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = wrong === 0 ? 0 : 1
