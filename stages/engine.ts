/** The engine that a definition asks for, and its checkpoints. */

import { openEngine } from '../engine/engine.ts'
import type { AdamOptions } from '../model/adam.ts'
import type { DiceCeOptions } from '../model/loss.ts'
import { readSafetensors, writeSafetensors } from '../model/safetensors.ts'
import type { SegresnetOptions } from '../model/segresnet.ts'
import type { Engine, Tensors } from '../pipeline/stage.ts'
import type { TrainOptions } from './train.ts'

interface Definition {
  readonly seed: number
  readonly engine: { readonly backend: string; readonly precision: string; readonly threads: number | 'auto' }
  readonly network?: Readonly<Record<string, unknown>>
  readonly stages: readonly { readonly kind: string }[]
}

/** Opens the engine with the definition's network, and the loss and optimiser of its train stage, where it has one. */
export async function openEngineFor({ seed, engine, network, stages }: Definition): Promise<Engine> {
  const train = stages.find(({ kind }) => kind === 'train') as unknown as TrainOptions | undefined
  const { weights: _, ...options } = network ?? {}
  return openEngine({
    backend: engine.backend as 'auto',
    precision: engine.precision as 'float32',
    threads: engine.threads,
    network: options as unknown as SegresnetOptions,
    ...(train && { loss: train.loss as DiceCeOptions, optimizer: train.optimizer as AdamOptions }),
    seed,
  })
}

/** Weights and, where it has them, the optimiser's state. Throws ERR_WEIGHTS when the file cannot be read. */
export async function readCheckpoint(path: string): Promise<Tensors> {
  return (await readSafetensors(path)).tensors
}

/** Writes a checkpoint whole or not at all; the facts go into its metadata as JSON. */
export async function writeCheckpoint(
  path: string,
  tensors: Tensors,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await writeSafetensors(
    path,
    tensors,
    Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, JSON.stringify(value)])),
  )
}
