/** What networks can be computed on here. Loads no TensorFlow.js, and no driver into this process. */

import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { loadAddon } from '../native/addon.ts'
import { messageOf } from '../pipeline/errors.ts'
import { surveyAdapters, type Survey } from './backends/webgpu/survey.ts'
import { chooseBackend, type Choice } from './choice.ts'
import { resolveThreads } from './threads.ts'

export interface Devices {
  readonly webgpu: Survey
  readonly native: {
    readonly processor: string
    readonly threads: number
    /** Instruction set of the kernels; absent where the addon does not load. */
    readonly isa?: string
    readonly bfloat16?: boolean
    readonly trouble?: string
  }
  /** The package that would be taken, where one is installed. */
  readonly tensorflow: { readonly package: string | null }
  /** What `auto` takes for float32. */
  readonly auto: Choice
}

export async function findDevices(survey: () => Promise<Survey> = surveyAdapters): Promise<Devices> {
  const webgpu = await survey()
  return {
    webgpu,
    native: native(),
    tensorflow: { package: tensorflowPackage() ?? null },
    auto: await chooseBackend({ precision: 'float32' }, () => Promise.resolve(webgpu)),
  }
}

function native(): Devices['native'] {
  const facts = { processor: cpus()[0]?.model.trim() ?? process.arch, threads: resolveThreads('auto') }
  try {
    const addon = loadAddon()
    return { ...facts, isa: addon.isa(), bfloat16: addon.hasBfloat16() }
  } catch (error) {
    return { ...facts, trouble: messageOf(error) }
  }
}

/** Beside ctflow, else beside the user's files. */
function tensorflowPackage(): string | undefined {
  for (const place of [import.meta.dirname, process.cwd()]) {
    const { resolve } = createRequire(join(place, 'any.js'))
    for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
      try {
        resolve(`${name}/package.json`)
        return name
      } catch {
        // not there
      }
    }
  }
  return undefined
}
