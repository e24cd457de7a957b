/**
 * The `native` backend: TensorFlow.js' CPU backend whose hot kernels are calls into the addon, on the same typed arrays.
 * Every other kernel is tfjs' own, and each use of one is counted.
 */

import * as tf from '@tensorflow/tfjs'
import type { KernelConfig, KernelFunc, Tensor, TensorInfo } from '@tensorflow/tfjs'
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu'
import { loadAddon, type Precision } from '../../native/addon.ts'
import { nativeKernels, partialKernels, type Call, type KernelBackend } from '../../native/kernels/index.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { Pool, type PoolReport } from './pool.ts'

export interface NativeBackendReport {
  /** Uses of kernels that are not native, by name. */
  readonly fallbacks: Readonly<Record<string, number>>
  readonly pool: PoolReport
  /** Instruction set of the kernels. */
  readonly isa: string
}

/** Kernels that move no number: another shape for the same values. They are native by doing nothing. */
const metadataKernels: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'ExpandDims'])

let pool = new Pool()
const fallbacks = new Map<string, number>()
let registered = false
let chosen: Precision = 'float32'

class NativeBackend extends MathBackendCPU implements KernelBackend {
  constructor() {
    super()
    // The base class advertises another package on the first tensor.
    Object.assign(this, { firstUse: false })
  }

  /** Of the convolutions from now on. An engine's thread has a backend of its own, so engines may differ in it. */
  get precision(): Precision {
    return chosen
  }

  output(shape: readonly number[]): { info: TensorInfo; values: Float32Array } {
    const values = pool.take(shape.reduce((product, n) => product * n, 1))
    return { info: this.makeTensorInfo([...shape], 'float32', values), values }
  }

  overwriting({ dataId, shape, dtype }: TensorInfo): { info: TensorInfo; values: Float32Array } {
    if (this.refCount(dataId) !== 1) return this.output(shape)
    this.incRef(dataId)
    return { info: { dataId, shape, dtype }, values: this.data.get(dataId).values as Float32Array }
  }

  /** A copy where the memory will be used again: what a caller holds must not change under his hands. */
  override readSync(dataId: object): ReturnType<MathBackendCPU['readSync']> {
    const values = super.readSync(dataId)
    return pool.owns(values) ? values.slice() : values
  }

  override disposeData(dataId: object, force = false): boolean {
    const values = this.data.has(dataId) ? this.data.get(dataId).values : undefined
    const gone = super.disposeData(dataId, force)
    if (gone) pool.give(values)
    return gone
  }
}

/**
 * Registers backend and kernels once, and sets the number of threads and the precision each time. ERR_ENGINE where the
 * addon is missing or the processor lacks what the precision needs.
 */
export function registerNativeBackend({ threads, precision }: { threads: number; precision: Precision }): void {
  checkPrecision(precision)
  loadAddon().setThreads(threads)
  chosen = precision
  if (registered) return
  registered = true
  tf.registerBackend('native', () => new NativeBackend(), 2)
  const own = new Set(nativeKernels.map(({ kernelName }) => kernelName))
  for (const config of nativeKernels) tf.registerKernel(config)
  for (const config of tf.getKernelsForBackend('cpu')) {
    if (!own.has(config.kernelName)) tf.registerKernel(adopted(config))
  }
}

function checkPrecision(precision: Precision): void {
  if (precision !== 'bfloat16' || loadAddon().hasBfloat16()) return
  throw new PipelineError(
    'ERR_ENGINE',
    '/engine/precision: "bfloat16" needs a processor that multiplies bfloat16 (avx512_bf16: AMD from Zen 4, Intel Xeon from Cooper Lake and Sapphire Rapids on), ' +
      'and this one does not; use "float32", or "bfloat16-emulated", which rounds likewise and is no faster than float32',
    { precision },
  )
}

/** tfjs' own kernel under our name: counted, or tried natively first. */
function adopted(config: KernelConfig): KernelConfig {
  const name = config.kernelName
  if (metadataKernels.has(name)) return { ...config, backendName: 'native' }
  const native = partialKernels[name]
  const kernelFunc: KernelFunc = call => {
    const served = native?.(call as unknown as Call)
    if (served) return served
    fallbacks.set(name, (fallbacks.get(name) ?? 0) + 1)
    return owning(config.kernelFunc(call), call)
  }
  return { ...config, backendName: 'native', kernelFunc }
}

/** Some of tfjs' kernels (Slice) give views of their input's memory, which the pool would hand out again: those are copied. */
function owning(
  result: TensorInfo | TensorInfo[],
  { inputs, backend }: Parameters<KernelFunc>[0],
): TensorInfo | TensorInfo[] {
  const { data } = backend as NativeBackend
  const ids = new Set(Object.values(inputs ?? {}).map(input => input?.dataId))
  for (const { dataId } of [result].flat()) {
    const entry = data.get(dataId)
    if (!ids.has(dataId) && pool.owns(entry.values)) entry.values = entry.values.slice()
  }
  return result
}

/** A tensor's values without a copy: only until it is disposed. */
export function valuesOf({ dataId }: Tensor): Float32Array {
  return (tf.backend() as NativeBackend).data.get(dataId).values as Float32Array
}

export function nativeBackendReport(): NativeBackendReport {
  return { fallbacks: Object.fromEntries(fallbacks), pool: pool.report(), isa: loadAddon().isa() }
}

export function resetNativeBackendReport(): void {
  fallbacks.clear()
  pool.resetPeak()
}

/** The most bytes that tensors, memory kept for the next ones and the kernels' own took. */
export function peakBytes(): number {
  return pool.report().peakHeldBytes + loadAddon().scratchPeak()
}

/**
 * Runs `work` with kernels that compute nothing, on a pool of its own, and gives the most bytes that it took. Memory is
 * allocated as ever, but nobody touches it, so that the system has nothing to lend.
 */
export function rehearse(work: (peakBytes: () => number) => void): number {
  const addon = loadAddon()
  const own = pool
  pool = new Pool(() => Infinity)
  addon.trimScratch()
  addon.rehearse(true)
  try {
    work(peakBytes)
    return peakBytes()
  } finally {
    addon.rehearse(false)
    pool.trim()
    pool = own
  }
}

/** Gives memory that no tensor uses back to the system. */
export function trimPool(): void {
  pool.trim()
}
