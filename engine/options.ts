/** What an engine is opened with; plain data, so that it crosses to the engine's thread. */

import type { AdamOptions } from '../model/adam.ts'
import type { DiceCeOptions } from '../model/loss.ts'
import type { SegresnetOptions } from '../model/segresnet.ts'

export interface EngineOptions {
  /**
   * `auto` takes a hardware GPU, else native. `cpu` is TensorFlow.js' own, for tests: much slower than native. `tensorflow` needs
   * a package that the user adds.
   */
  readonly backend: 'auto' | 'native' | 'cpu' | 'webgpu' | 'tensorflow'
  /**
   * `bfloat16`: the 3x3x3 convolutions between feature maps, nearly all of the work, and their gradients multiply numbers
   * rounded to bfloat16 and add in float32; weights, activations in memory, the image's own convolution, 1x1x1
   * convolutions, norms, loss and optimiser stay float32. It needs a processor that has it (avx512_bf16).
   * `bfloat16-emulated` rounds likewise on any processor, no faster than float32. `float16` is the GPU's: the same
   * convolutions multiply numbers rounded to float16 and add in float32, where the adapter has it (shader-f16).
   * `float16-matrix` has its matrix units do so; experimental: they are behind an unsafe feature of Dawn's.
   */
  readonly precision: 'float32' | 'bfloat16' | 'bfloat16-emulated' | 'float16' | 'float16-matrix'
  /** Part of the name of the GPU to take; the best one where absent. A software adapter is taken only by name. */
  readonly adapter?: string
  /** Bytes of the GPU's memory that tensors may take at most; what the GPU has where absent. */
  readonly gpuMemory?: number
  /** Threads of the native backend, at least 1; `auto` asks the container and the machine, see `resolveThreads`. */
  readonly threads: number | 'auto'
  readonly network: SegresnetOptions
  /** Both are there for training; an engine without them only infers, and holds no optimiser's state. */
  readonly loss?: DiceCeOptions
  readonly optimizer?: AdamOptions
  /** Of the initial weights and of dropout. */
  readonly seed: number
}

/** What the engine has needed so far. */
export interface EngineReport {
  /** Calls by kernel name that the native backend left to TensorFlow.js' own slow kernels. */
  readonly fallbacks: Readonly<Record<string, number>>
  /** Bytes in tensors now, and the most there ever were. */
  readonly liveBytes: number
  readonly peakBytes: number
  readonly liveTensors: number
  /** The most bytes ever held, counted as `Engine.need` counts them. */
  readonly peakHeldBytes: number
  /** The same of the GPU's memory; 0 where tensors lie in the host's. */
  readonly peakDeviceBytes: number
}
