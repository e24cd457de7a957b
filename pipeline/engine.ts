/** Where tensors live, as the flow knows it. A leaf: types only. */

import type { Shape3 } from './grid.ts'

/** Patches of equal shape, ready for the engine. Typed arrays lie in shared memory. */
export interface Batch {
  /** (N, z, y, x), one channel. */
  readonly image: Float32Array
  /** (N, z, y, x), class indices. */
  readonly label: Uint8Array
  readonly count: number
  readonly shape: Shape3
  readonly cases: readonly string[]
  /** Gives the arrays' memory back: nobody looks at them any more. Called by whoever is the last to use them, once. */
  readonly release?: () => void
}

/** What one training step told. */
export interface StepResult {
  readonly loss: number
  readonly patches: number
  /** Seconds inside the engine. */
  readonly seconds: number
  readonly cases: readonly string[]
}

/** What an engine is going to be asked for. Windows are computed one by one, whatever comes together. */
export interface EngineWork {
  readonly step?: {
    readonly patch: Shape3
    readonly batch: number
    /** As a GPU computes a batch that fits it: all samples at once. Otherwise one by one, which is the least that it takes. */
    readonly together?: boolean
  }
  /** Extents of windows, in the order in which they come. */
  readonly windows: readonly Shape3[]
}

export interface EngineNeed {
  /** Of this process. */
  readonly bytes: number
  /** Of a GPU; 0 where tensors lie in the process's memory. */
  readonly deviceBytes: number
}

/** Where tensors live: typed arrays in and out, never tensors. Calls are served in order. */
export interface Engine {
  readonly info: EngineInfo
  /** One optimiser step on a batch. Rejects with ERR_ENGINE when the loss is not finite; the weights are then unchanged. */
  step(batch: Batch): Promise<StepResult>
  /** Logits (N, z, y, x, classes) of `count` windows (N, z, y, x), in `to`, where shared memory of that length is given. */
  infer(windows: Float32Array, count: number, shape: Shape3, to?: Float32Array): Promise<Float32Array>
  /** Weights, and with `optimizer` also the optimiser's state, by PyTorch's names and in its axis order. */
  save(options?: { optimizer?: boolean }): Promise<Tensors>
  load(tensors: Tensors): Promise<void>
  setLearningRate(learningRate: number): Promise<void>
  /**
   * Most bytes that the engine will hold for such work: weights and their optimiser's state, tensors and what is kept for the
   * next ones, memory that kernels work in, a sample's labels, a window's logits. Told before any of it is done, and nothing
   * is changed by it. The batches and windows that it is given are the caller's. An estimate on the `cpu` and `tensorflow`
   * backends, whose memory others have. Rejects with ERR_DEFINITION for extents that cannot be.
   */
  need(work: EngineWork): Promise<EngineNeed>
  close(): Promise<void>
}

export interface EngineInfo {
  readonly backend: string
  readonly precision: string
  /** Of the native backend; 1 where others compute. */
  readonly threads: number
  /** What computes: the processor's instruction set, or the adapter's name. */
  readonly device: string
  /** Why this backend was chosen, for people. */
  readonly reason: string
  readonly classes: number
  readonly parameters: number
  /** Only where a GPU computes. */
  readonly gpu?: GpuInfo
}

export interface GpuInfo {
  /** Name and version, as the driver tells them. */
  readonly driver: string
  /** The most that a kernel can see of a buffer. */
  readonly largestTensorBytes: number
  /** What tensors may take at most, where the definition says so: WebGPU does not tell what a GPU has. */
  readonly memoryBytes?: number
}

/** Named float32 arrays with their shapes. */
export type Tensors = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>
