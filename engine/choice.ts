/** Which backend `auto` takes, and why. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Adapter, Survey } from './backends/webgpu/adapters.ts'
import { lacksFor, nextBest } from './backends/webgpu/precisions.ts'
import type { EngineOptions } from './options.ts'

/** `reason` is one line, for people. */
export type Choice =
  | { readonly backend: 'native'; readonly reason: string }
  | {
      readonly backend: 'webgpu'
      /** The GPU's name, or a part of it. */
      readonly adapter: string
      readonly reason: string
      /** Whether native does as well, should the GPU not open. */
      readonly isOptional: boolean
    }

/**
 * A hardware GPU, else native; what only one of them has decides before that. `survey` is asked only where it matters.
 * ERR_ENGINE where the precision needs a GPU and there is none that has it.
 */
export async function chooseBackend(
  { precision, adapter }: Pick<EngineOptions, 'precision' | 'adapter'>,
  survey: () => Promise<Survey>,
): Promise<Choice> {
  if (precision === 'bfloat16' || precision === 'bfloat16-emulated')
    return { backend: 'native', reason: `auto: "${precision}" is computed by the native backend only` }
  if (adapter !== undefined)
    return { backend: 'webgpu', adapter, reason: 'auto: "adapter" names a GPU', isOptional: false }
  const { adapters, trouble } = await survey()
  const hardware = adapters.filter(({ software }) => !software)
  const able = hardware.find(one => lacksFor(precision, one).length === 0)
  if (able)
    return {
      backend: 'webgpu',
      adapter: able.name,
      reason: 'auto: a GPU is there',
      isOptional: precision === 'float32',
    }
  const why =
    hardware.length > 0
      ? `${named(hardware)} ${hardware.length > 1 ? 'have' : 'has'} no ${lacksFor(precision, hardware[0]!).join(' and no ')}`
      : noGpu(adapters, trouble)
  if (precision !== 'float32')
    throw new PipelineError(
      'ERR_ENGINE',
      `/engine/precision: "${precision}" is computed by GPUs only, and ${hardware.length > 0 ? '' : 'there is '}${why}; use "${nextBest(precision, hardware)}"`,
      { precision, adapters: adapters.map(({ name }) => name) },
    )
  return { backend: 'native', reason: `auto: ${why}` }
}

function noGpu(adapters: readonly Adapter[], trouble: string | undefined): string {
  if (trouble !== undefined) return `no GPU: ${trouble}`
  if (adapters.length === 0) return 'no GPU: its driver is not there'
  return `no GPU, only a software adapter (${adapters.map(({ name }) => name).join(', ')})`
}

function named(adapters: readonly Adapter[]): string {
  return adapters.map(({ name }) => `"${name}"`).join(', ')
}
