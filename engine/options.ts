/** What an engine is opened with; plain data, so that it crosses to the engine's thread. */

import type { AdamOptions } from '../model/adam.ts'
import type { DiceCeOptions } from '../model/loss.ts'
import type { SegresnetOptions } from '../model/segresnet.ts'

export interface EngineOptions {
  /** `auto` takes the best that this version has. `cpu` is TensorFlow.js' own, for tests: much slower than native. */
  readonly backend: 'auto' | 'native' | 'cpu' | 'webgpu' | 'tensorflow'
  readonly precision: 'float32'
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
}
