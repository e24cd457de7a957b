/**
 * The `tensorflow` backend: TensorFlow's own library, by the package that the user added. Its kernels do what tfjs' own do;
 * only convolutions padded by a number are not among them, and are made of those that are.
 */

import * as tf from '@tensorflow/tfjs'
import type { KernelBackend } from '@tensorflow/tfjs'
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import util from 'node:util'
import { PipelineError, messageOf } from '../../pipeline/errors.ts'
import type { StartedBackend } from '../backend.ts'
import type { EngineOptions } from '../options.ts'
import { peakBytes, replaceConvolutions } from './tensorflow-convolutions.ts'
import { setTensorflowEnvironment, tensorflowThreads } from './tensorflow-environment.ts'

/** The first that is there is taken. */
const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const

interface Found {
  readonly name: (typeof packages)[number]
  readonly version: string
  /** Of its package.json. */
  readonly folder: string
  /** Resolves as the package itself does. */
  readonly require: NodeJS.Require
}

/** What the packages' backend has beside a backend's own. */
interface TensorflowBackend extends KernelBackend {
  readonly binding?: { readonly TF_Version?: string }
  readonly isUsingGpuDevice?: boolean
}

let loaded: Found | undefined

/**
 * Loads the package, once, and makes its backend current. ERR_ENGINE with the cure where it is not installed, has a copy of
 * TensorFlow.js of its own, or does not load; ERR_DEFINITION for a precision that it has not. `threads` is what the library
 * is asked for; what it took is in the result.
 */
export async function startTensorflow(precision: EngineOptions['precision'], threads: number): Promise<StartedBackend> {
  if (precision !== 'float32') {
    throw new PipelineError(
      'ERR_DEFINITION',
      `/engine/precision: the tensorflow backend computes in float32 only, found "${precision}"; use "backend": "native"`,
      { backend: 'tensorflow', precision },
    )
  }
  setTensorflowEnvironment(threads)
  loaded ??= load(find())
  await tf.setBackend('tensorflow')
  const { binding, isUsingGpuDevice = false } = tf.backend() as TensorflowBackend
  const processor = cpus()[0]?.model.trim() ?? process.arch
  return {
    name: 'tensorflow',
    device:
      `${isUsingGpuDevice ? 'GPU' : `CPU (${processor})`}, TensorFlow ${binding?.TF_Version ?? 'of a version it does not tell'}, ` +
      `${loaded.name} ${loaded.version}`,
    reason: !isUsingGpuDevice && loaded.name === packages[0] ? 'asked for; it found no GPU' : 'asked for',
    threads: tensorflowThreads(threads),
    read: async (tensor, to) => {
      const values = tensor.dataSync<'float32'>()
      to?.set(values)
      return to ?? values
    },
    onDevice: isUsingGpuDevice,
    fallbacks: () => ({}),
    peakBytes,
  }
}

/** Where a package may lie: the folder that a variable names and no other, else beside ctflow, else beside the user's files. */
function places(): string[] {
  const named = process.env['CTFLOW_TFJS_NODE']
  return named ? [resolve(named)] : [import.meta.dirname, process.cwd()]
}

function find(): Found {
  const folders = places()
  for (const place of folders) {
    const from = createRequire(join(place, 'any.js'))
    for (const name of packages) {
      const file = resolved(from, `${name}/package.json`)
      if (file === undefined) continue
      const { version } = from(file) as { version: string }
      return { name, version, folder: dirname(file), require: createRequire(file) }
    }
  }
  throw failure(
    `"tensorflow" needs ${packages.join(' or ')}, and neither is installed (looked from ${folders.join(' and ')}); ` +
      `run "npm install ${packages[0]}@${tf.version.tfjs}" for an NVIDIA GPU, "npm install ${packages[1]}@${tf.version.tfjs}" for the processor, ` +
      'where ctflow is installed; docs/tensorflow.md tells how to build it where its download is out of reach',
    { looked: folders },
  )
}

function load(found: Found): Found {
  checkShared(found)
  // tfjs-node 4.22 calls both in nearly every kernel; Node 22 warns of them, Node 23 has no isNullOrUndefined. The engine's
  // thread has a `util` of its own, so nobody else sees these.
  Object.assign(util, { isNullOrUndefined: (value: unknown) => value == null, isArray: Array.isArray })
  try {
    found.require(found.folder)
  } catch (cause) {
    throw notLoaded(found, cause)
  }
  if (tf.findBackend('tensorflow') === null) {
    throw failure(
      `${found.name} ${found.version} in ${found.folder} loads and registers no backend "tensorflow"; ` +
        `install the version that goes with this TensorFlow.js: npm install ${found.name}@${tf.version.tfjs}`,
      { package: found.name, version: found.version },
    )
  }
  replaceConvolutions()
  return found
}

/** Two copies would register kernels twice and warn of each; of two versions nobody knows what they make of each other. */
function checkShared({ name, version, folder, require }: Found): void {
  const own = createRequire(import.meta.url)
  const ownCore = createRequire(own.resolve('@tensorflow/tfjs'))
  for (const [shared, ours] of [
    ['@tensorflow/tfjs', own],
    ['@tensorflow/tfjs-core', ownCore],
  ] as const) {
    const [expected, other] = [resolved(ours, shared), resolved(require, shared)]
    if (other === undefined || expected === undefined || realpathSync(other) === realpathSync(expected)) continue
    throw failure(
      `${name} ${version} in ${folder} has a copy of ${shared} of its own (${other}), and both must use ctflow's (${expected}); ` +
        `install both in one folder, with the version that ctflow has: npm install ${name}@${tf.version.tfjs}, then npm dedupe`,
      { package: name, version, expected, found: other },
    )
  }
}

function notLoaded({ name, version, folder }: Found, cause: unknown): PipelineError {
  const said = messageOf(cause)
  const first = said.split('\n')[0]!.replace(/[\s.]+$/, '')
  const build = 'or build it as docs/tensorflow.md tells'
  const cures: [RegExp, string][] = [
    [/GLIBC(XX)?_/, `its library wants a newer system; use a newer one (or container), ${build}`],
    [
      /tfjs_binding\.node|libtensorflow|libcud|cannot open shared object/,
      `its library was not downloaded at install; run "npm rebuild ${name}", ${build}`,
    ],
  ]
  const cure =
    cures.find(([pattern]) => pattern.test(said))?.[1] ??
    `install it again: npm install ${name}@${tf.version.tfjs}, ${build}`
  return failure(
    `${name} ${version} in ${folder} does not load on Node ${process.versions.node}: ${first}; ${cure}`,
    { package: name, version, folder },
    cause,
  )
}

/** A module's file, or `undefined` where there is none. */
function resolved(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}

function failure(what: string, facts: Record<string, unknown>, cause?: unknown): PipelineError {
  return new PipelineError('ERR_ENGINE', `/engine/backend: ${what}`, { backend: 'tensorflow', ...facts }, { cause })
}
