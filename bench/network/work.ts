/** The work that whole networks are measured with, ours and others': plain data, so that it crosses to other processes. */

import type { EngineOptions } from '../../engine/options.ts'
import { resolveThreads } from '../../engine/threads.ts'
import { defaultAdam } from '../../model/adam.ts'
import { publishedLoss } from '../../model/loss.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { rng } from '../../pipeline/random.ts'
import { networkWith } from '../kernels/layers.ts'

export interface Work {
  /** A training step (forward, loss, backward, Adam) or the forward pass of windows. */
  readonly task: 'train-step' | 'window'
  readonly initFilters: number
  /** x, y, z. */
  readonly shape: Shape3
  readonly batch: number
  readonly precision: 'float32' | 'bfloat16' | 'float16' | 'float16-matrix'
  readonly threads: number
  /** `native` where absent. */
  readonly backend?: EngineOptions['backend']
  /** Of the GPU: see EngineOptions. */
  readonly adapter?: string
  /** How long a repetition goes on at the least; its figure is one step's or window's. Once where absent. */
  readonly seconds?: number
}

/** `train-step/f8/224x224x32/float32`, and the batch where it is not 1. */
export function nameOf({ task, initFilters, shape, batch, precision }: Work): string {
  const size = `${shape.join('x')}${batch === 1 ? '' : `/batch-${batch}`}`
  return `${task}/f${initFilters}/${size}/${precision}`
}

export const publishedPatch: Shape3 = [224, 224, 32]

/** A training step of the published network, with all threads there are. */
export const publishedStep: Work = {
  task: 'train-step',
  initFilters: 8,
  shape: publishedPatch,
  batch: 1,
  precision: 'float32',
  threads: resolveThreads('auto'),
}

export const seed = 0

export function engineOptions({ task, initFilters, precision, threads, backend, adapter }: Work): EngineOptions {
  return {
    backend: backend ?? 'native',
    precision,
    threads,
    ...(adapter !== undefined && { adapter }),
    network: networkWith(initFilters),
    ...(task === 'train-step' && { loss: publishedLoss, optimizer: defaultAdam }),
    seed,
  }
}

/** Noise, and a block of lesion in the last tenth of every patch; x fastest. */
export function voxelsOf({ batch, shape }: Pick<Work, 'batch' | 'shape'>): { image: Float32Array; label: Uint8Array } {
  const voxels = shape[0] * shape[1] * shape[2]
  const image = new Float32Array(new SharedArrayBuffer(batch * voxels * 4))
  const label = new Uint8Array(new SharedArrayBuffer(batch * voxels))
  const random = rng(seed, 0, 0, 'bench')
  for (let i = 0; i < image.length; i++) image[i] = random.uniform()
  for (let i = 0; i < label.length; i++) label[i] = i % voxels > 0.9 * voxels ? 1 : 0
  return { image, label }
}

/** Voxels of the first patch whose logits tell whether two programs have done the same: indices with x fastest. */
export function sampledVoxels(shape: Shape3, count = 64): number[] {
  const random = rng(seed, 0, 0, 'bench-samples')
  return Array.from({ length: count }, () => Math.floor(random.uniform() * shape[0] * shape[1] * shape[2]))
}
