/** The engine that a definition asks for, and its checkpoints. */

import { openEngine, resolveThreads, type EngineOptions, type EngineWithReport } from '../engine/engine.ts'
import type { AdamOptions } from '../model/adam.ts'
import { readCheckpoint } from '../model/checkpoint.ts'
import type { DiceCeOptions } from '../model/loss.ts'
import { segresnetParameters, type SegresnetOptions } from '../model/segresnet.ts'
import { checkGroups } from '../model/segresnet-of.ts'
import { checkCheckpoint } from '../model/weights.ts'
import { parseBytes } from '../pipeline/bytes.ts'
import type { Tensors } from '../pipeline/engine.ts'
import type { TrainOptions } from './train.ts'

interface Definition {
  readonly seed: number
  readonly engine: {
    readonly backend: string
    readonly precision: string
    readonly threads: number | 'auto'
    readonly adapter?: string
    readonly gpuMemory?: string | number
  }
  readonly network?: Readonly<Record<string, unknown>>
  readonly stages: readonly { readonly kind: string }[]
}

/** Opens the engine with the definition's network, and the loss and optimiser of its train stage, where it has one. */
export async function openEngineFor({ seed, engine, network, stages }: Definition): Promise<EngineWithReport> {
  const train = stages.find(({ kind }) => kind === 'train') as unknown as TrainOptions | undefined
  const { weights: _, ...options } = network ?? {}
  return openEngine({
    backend: engine.backend as 'auto',
    precision: engine.precision as EngineOptions['precision'],
    threads: engine.threads,
    ...(engine.adapter !== undefined && { adapter: engine.adapter }),
    ...(engine.gpuMemory !== undefined && { gpuMemory: parseBytes(engine.gpuMemory) }),
    network: options as unknown as SegresnetOptions,
    ...(train && { loss: train.loss as DiceCeOptions, optimizer: train.optimizer as AdamOptions }),
    seed,
  })
}

/**
 * Weights and, where it has them, the optimiser's state, of a .safetensors or PyTorch file. ERR_WEIGHTS when it cannot be
 * read or, before its values are read, when the weights are not the given network's.
 */
export async function readWeights(path: string, network?: Readonly<Record<string, unknown>>): Promise<Tensors> {
  const checkpoint = await readCheckpoint(path, outline => {
    if (!network) return
    const options = network as unknown as SegresnetOptions
    checkCheckpoint(outline.tensors, segresnetParameters(options), path)
    checkGroups(options, outline, path)
  })
  return checkpoint.tensors
}

export { writeCheckpoint } from '../model/checkpoint.ts'

/** Processors that this process may use. */
export function processors(): number {
  return resolveThreads('auto')
}
