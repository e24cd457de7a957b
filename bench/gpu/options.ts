/** What `bench -- gpu` can be told. */

import type { ParseArgsConfig } from 'node:util'
import type { EngineOptions } from '../../engine/options.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { publishedPatch } from '../network/work.ts'

export interface GpuOptions {
  readonly backend: EngineOptions['backend']
  readonly adapter?: string
  /** x, y, z of a patch and of a window. */
  readonly shape: Shape3
  readonly batch: number
  readonly initFilters: number
  readonly rounds: number
  /** How long a repetition goes on. */
  readonly seconds: number
}

export const gpuFlags = {
  backend: { type: 'string' },
  adapter: { type: 'string' },
  shape: { type: 'string' },
  batch: { type: 'string' },
  channels: { type: 'string' },
  rounds: { type: 'string' },
  small: { type: 'boolean' },
} as const satisfies ParseArgsConfig['options']

export type GpuFlags = { readonly [name in keyof typeof gpuFlags]?: string | boolean | undefined }

export const gpuUsage =
  '[--backend webgpu|native|cpu|tensorflow] [--adapter NAME] [--shape 224x224x32] [--batch 8] [--channels 8] [--rounds 7] [--small]'

const backends: readonly EngineOptions['backend'][] = ['webgpu', 'native', 'cpu', 'tensorflow']

/** The published network's training, unless they say otherwise; `small` is for software adapters. ERR_DEFINITION says what is wrong. */
export function gpuOptions(flags: GpuFlags): GpuOptions {
  const small = flags.small === true
  const usual = small
    ? { shape: [16, 16, 8] as Shape3, batch: 2, rounds: 2, seconds: 0.02 }
    : { shape: publishedPatch, batch: 8, rounds: 7, seconds: 0.5 }
  const text = (name: keyof GpuFlags): string | undefined => flags[name] as string | undefined
  const backend = backends.find(name => name === (flags.backend ?? 'webgpu'))
  if (!backend) throw refused(`--backend: expected one of ${backends.join(', ')}, found "${flags.backend}"`)
  const adapter = text('adapter')
  return {
    ...usual,
    backend,
    ...(adapter !== undefined && { adapter }),
    shape: text('shape') === undefined ? usual.shape : shapeIn(text('shape')!),
    batch: countIn('batch', text('batch')) ?? usual.batch,
    initFilters: countIn('channels', text('channels')) ?? 8,
    rounds: countIn('rounds', text('rounds')) ?? usual.rounds,
  }
}

function countIn(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,3}$/.test(text)) throw refused(`--${name}: expected a whole number from 1 up, found "${text}"`)
  return Number(text)
}

function shapeIn(text: string): Shape3 {
  const extents = text.split('x').map(Number)
  if (extents.length !== 3 || !extents.every(extent => Number.isInteger(extent) && extent > 0))
    throw refused(`--shape: expected voxels along x, y and z such as 224x224x32, found "${text}"`)
  return extents as unknown as Shape3
}

function refused(message: string): PipelineError {
  return new PipelineError('ERR_DEFINITION', message)
}
