/** What networks can be computed on here. Loads no TensorFlow.js, and no driver into this process. */

import { cpus } from 'node:os'
import { loadAddon } from '../native/addon.ts'
import { messageOf } from '../pipeline/errors.ts'
import { findTensorflowPackage } from './backends/tensorflow-package.ts'
import type { Survey } from './backends/webgpu/adapters.ts'
import { surveyAdapters } from './backends/webgpu/survey.ts'
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
  /** The package that would be taken, or what is wrong with it; null where none is installed. */
  readonly tensorflow:
    { readonly name: string; readonly version: string; readonly folder: string } | { readonly trouble: string } | null
  /** What `auto` takes for float32. */
  readonly auto: Choice
}

export async function findDevices(): Promise<Devices> {
  const webgpu = await surveyAdapters()
  return {
    webgpu,
    native: native(),
    tensorflow: tensorflow(),
    auto: await chooseBackend({ precision: 'float32' }, () => Promise.resolve(webgpu)),
  }
}

function tensorflow(): Devices['tensorflow'] {
  try {
    const found = findTensorflowPackage()
    return found ? { name: found.name, version: found.version, folder: found.folder } : null
  } catch (error) {
    return { trouble: messageOf(error) }
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
