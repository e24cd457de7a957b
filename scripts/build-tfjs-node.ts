/**
 * `npm run build:tfjs-node`, in an installed package `node dist/scripts/build-tfjs-node.js`: makes @tensorflow/tfjs-node without
 * its own download. The addon is compiled from the package's sources against the library in a TensorFlow wheel from PyPI.
 * docs/tensorflow.md says for whom.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const require = createRequire(import.meta.url)
export const testedTensorflow = '2.20.0'

/** Of what this makes; another folder's contents are somebody's. */
const ownName = 'ctflow-tfjs-node'
/** The newest Node-API of those that the package looks for; every Node from 16 on has it. */
const nodeApi = 8

export interface TfjsNodeOptions {
  /** Made, or one that this program made before. */
  readonly folder: string
  /** A version on PyPI. */
  readonly tensorflow?: string
  /** The package and the wheel for NVIDIA GPUs: CUDA comes with the wheel, as some gigabytes. */
  readonly gpu?: boolean
  readonly python?: string
}

/** Builds what is not there yet and gives the version that the library tells. An Error says which step failed, and why. */
export function buildTfjsNode({
  folder,
  tensorflow = testedTensorflow,
  gpu = false,
  python = 'python3',
}: TfjsNodeOptions): string {
  if (process.platform !== 'linux') {
    throw new Error(`expected Linux, whose wheels have the libraries that are linked here, found ${process.platform}`)
  }
  const name = `@tensorflow/tfjs-node${gpu ? '-gpu' : ''}`
  installPackage(folder, name)
  const library = installLibrary(
    join(folder, 'venv'),
    python,
    `tensorflow${gpu ? '[and-cuda]' : '-cpu'}==${tensorflow}`,
  )
  const addon = join(folder, 'node_modules', name, 'lib', `napi-v${nodeApi}`, 'tfjs_binding.node')
  compile(join(folder, 'node_modules', name, 'binding'), library, addon)
  return tried(addon)
}

/** The package without its install script, on ctflow's TensorFlow.js: with one of its own there would be two. */
function installPackage(folder: string, name: string): void {
  const version = (require('@tensorflow/tfjs/package.json') as { version: string }).version
  const manifest = join(folder, 'package.json')
  mkdirSync(folder, { recursive: true })
  if (readdirSync(folder).length > 0 && nameIn(manifest) !== ownName) {
    throw new Error(`${folder}: expected an empty folder or one that this program made, found other things in it`)
  }
  const scope = join(folder, 'node_modules', '@tensorflow')
  const installed = join(folder, 'node_modules', name, 'package.json')
  if (
    !existsSync(installed) ||
    (JSON.parse(readFileSync(installed, 'utf8')) as { version: string }).version !== version
  ) {
    say(`installing ${name} ${version} in ${folder}, without its install script`)
    rmSync(join(folder, 'node_modules'), { recursive: true, force: true })
    writeFileSync(manifest, JSON.stringify({ name: ownName, private: true }))
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', `${name}@${version}`], folder)
  }
  for (const other of readdirSync(scope)) {
    if (!other.startsWith('tfjs-node')) rmSync(join(scope, other), { recursive: true, force: true })
  }
  const ownTensorflowJs = dirname(require.resolve('@tensorflow/tfjs/package.json'))
  const core = createRequire(join(ownTensorflowJs, 'package.json')).resolve('@tensorflow/tfjs-core/package.json')
  symlinkSync(ownTensorflowJs, join(scope, 'tfjs'))
  symlinkSync(dirname(core), join(scope, 'tfjs-core'))
}

/** The folder `tensorflow` of the wheel, with its libraries and headers. */
function installLibrary(venv: string, python: string, requirement: string): string {
  const stamp = join(venv, requirement.replace(/[^\w.-]/g, '+'))
  const program = join(venv, 'bin', 'python')
  if (!existsSync(stamp)) {
    say(`installing ${requirement} in ${venv}`)
    try {
      run(python, ['-m', 'venv', '--clear', venv])
    } catch (cause) {
      throw new Error(`${python} makes no virtual environment; Debian, Ubuntu: apt-get install python3-venv`, { cause })
    }
    // Its Python side is not used, but for CUDA's libraries.
    const alone = requirement.includes('[') ? [] : ['--no-deps']
    run(program, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...alone, requirement])
    writeFileSync(stamp, '')
  }
  const packages = run(program, ['-c', 'import sysconfig; print(sysconfig.get_path("platlib"))']).trim()
  return join(packages, 'tensorflow')
}

function compile(sources: string, library: string, addon: string): void {
  const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']
  for (const file of libraries) {
    if (!existsSync(join(library, file)))
      throw new Error(`${library}: expected ${libraries.join(' and ')}, found no ${file}`)
  }
  say(`compiling ${addon}`)
  mkdirSync(dirname(addon), { recursive: true })
  const headers = [(require('node-api-headers') as { include_dir: string }).include_dir, join(library, 'include')]
  const includes = headers.map(folder => `-I${folder}`)
  const files = ['tfjs_backend.cc', 'tfjs_binding.cc'].map(file => join(sources, file))
  const linked = [`-L${library}`, `-Wl,-rpath,${library}`, ...libraries.map(file => `-l:${file}`)]
  const flags = ['-std=c++17', '-O2', '-fPIC', '-shared', `-DNAPI_VERSION=${nodeApi}`]
  run(process.env['CXX'] ?? 'g++', [...flags, ...includes, ...files, '-o', addon, ...linked])
}

/** Loads the addon in a process of its own and has it square a number. */
function tried(addon: string): string {
  const program = `const tf = require(${JSON.stringify(addon)})
const id = tf.createTensor([1], tf.TF_FLOAT, Float32Array.of(7))
const [y] = tf.executeOp('Square', [{ name: 'T', type: tf.TF_ATTR_TYPE, value: tf.TF_FLOAT }], [id], 1)
if (tf.tensorDataSync(y.id)[0] !== 49) throw new Error('7 x 7 is not 49')
console.log(tf.TF_Version)`
  return run(process.execPath, ['--eval', program]).trim()
}

function nameIn(manifest: string): unknown {
  return existsSync(manifest) ? (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: unknown }).name : undefined
}

/** What a program printed; where it fails, what it complained of. */
function run(program: string, args: readonly string[], cwd?: string): string {
  const { NODE_OPTIONS: _, ...env } = process.env
  try {
    return execFileSync(program, args, {
      ...(cwd === undefined ? {} : { cwd }),
      encoding: 'utf8',
      env: { TF_CPP_MIN_LOG_LEVEL: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
    })
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: string; message: string }
    throw new Error(`${[program, ...args].join(' ')} failed:\n${stderr?.trim() || message}`, { cause })
  }
}

function say(line: string): void {
  console.error(line)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tensorflow: { type: 'string', default: testedTensorflow },
      gpu: { type: 'boolean', default: false },
      python: { type: 'string', default: 'python3' },
      help: { type: 'boolean', default: false },
    },
  })
  const folder = resolve(positionals[0] ?? join(root, 'build', 'tfjs-node'))
  if (values.help || positionals.length > 1) {
    console.log(`usage: build-tfjs-node [FOLDER] [--tensorflow ${testedTensorflow}] [--gpu] [--python python3]
Without a FOLDER it is build/tfjs-node. It may hold nothing but what this program made.`)
  } else {
    const version = buildTfjsNode({ folder, ...values })
    console.log(`TensorFlow ${version} is ready: set CTFLOW_TFJS_NODE=${folder} and "backend": "tensorflow"`)
  }
}
