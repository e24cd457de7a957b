/** The C++ addon: loading it, and what it offers. Typed arrays and numbers in; the addon checks every size again. */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PipelineError, messageOf } from '../pipeline/errors.ts'
import type { GunzipCalls } from './gunzip.ts'
import type { StoredCalls } from './stored.ts'
import type { SurfaceCalls } from './surface.ts'
import type { WindowCalls } from './windows.ts'

/** Element-wise operations by their number in elementwise.h. */
export const elementwiseOps = {
  add: 0,
  subtract: 1,
  multiply: 2,
  relu: 3,
  reluGradient: 4,
  fill: 5,
  divide: 6,
} as const

/** Instruction sets for which there are kernels. */
export type Isa = 'scalar' | 'avx2' | 'avx512' | 'neon'

export type PeakKind = 'float32' | 'bfloat16' | 'copy'

/**
 * How a convolution multiplies. `bfloat16`: what it multiplies is rounded to bfloat16 (nearest, ties to even; denormal
 * numbers become zeros), the sums are float32, by instructions that not every processor has (`hasBfloat16`). Theirs add
 * two products at a time with roundings of their own. `bfloat16-emulated` rounds likewise and calls the float32 kernels.
 */
export type Precision = 'float32' | 'bfloat16' | 'bfloat16-emulated'

/** Shapes are flat lists, described in addon.cc; tensors are NDHWC float32. */
export interface Addon extends StoredCalls, SurfaceCalls, WindowCalls, GunzipCalls {
  /**
   * shape = [batch, in x 3, ci, kernel x 3, out x 3, co, stride x 3, pad x 3]. `norm` is (N, 3, ci): mean, scale and shift
   * of the input, which then is max(0, (x - mean) * scale + shift), in float32; `residual` is added to y. Outputs may not
   * overlap inputs. Values beyond half of the largest float32 may become infinite, and where something is not finite, so
   * are a row's neighbours: rows are filtered in pairs of voxels.
   */
  conv3dForward(
    x: Float32Array,
    filter: Float32Array,
    y: Float32Array,
    shape: readonly number[],
    precision?: Precision,
    norm?: Float32Array | null,
    residual?: Float32Array | null,
  ): void
  conv3dInputGradient(
    dy: Float32Array,
    filter: Float32Array,
    dx: Float32Array,
    shape: readonly number[],
    precision?: Precision,
  ): void
  conv3dFilterGradient(
    x: Float32Array,
    dy: Float32Array,
    dfilter: Float32Array,
    shape: readonly number[],
    precision?: Precision,
    norm?: Float32Array | null,
  ): void
  /** shape = [batch, voxels, channels, groups]; without y only mean and rstd are computed */
  groupNormForward(
    x: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    y: Float32Array | null,
    mean: Float32Array,
    rstd: Float32Array,
    shape: readonly number[],
    epsilon: number,
    relu: boolean,
  ): void
  /** dx may be dy; `residual` is added to it. */
  groupNormGradient(
    dy: Float32Array,
    x: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    mean: Float32Array,
    rstd: Float32Array,
    dx: Float32Array,
    dgamma: Float32Array,
    dbeta: Float32Array,
    shape: readonly number[],
    epsilon: number,
    relu: boolean,
    residual?: Float32Array | null,
  ): void
  /** shape = [batch, d, h, w, channels] of the small tensor */
  upsampleForward(x: Float32Array, skip: Float32Array | null, y: Float32Array, shape: readonly number[]): void
  upsampleGradient(dy: Float32Array, dx: Float32Array, shape: readonly number[]): void
  /**
   * shape = [batch, voxels, classes, squared, background, jaccard, batch]; gives [loss, dice, crossEntropy, bad labels].
   * Without `dlogits` there is no gradient. `batchSums` and `sums` are intersection, reference and prediction of each
   * class, see dice-ce.h.
   */
  diceCrossEntropy(
    logits: Float32Array,
    labels: Int32Array,
    dlogits: Float32Array | null,
    shape: readonly number[],
    smoothNr: number,
    smoothDr: number,
    lambdaDice: number,
    lambdaCe: number,
    batchSums?: Float64Array,
    batchSamples?: number,
    sums?: Float64Array,
  ): [number, number, number, number]
  /** In place on param, m and v. stepSize = rate / (1 - beta1^t), rootCorrection = sqrt(1 - beta2^t) */
  adamUpdate(
    param: Float32Array,
    m: Float32Array,
    v: Float32Array,
    gradient: Float32Array,
    size: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    weightDecay: number,
    stepSize: number,
    rootCorrection: number,
  ): void
  /** to[i] = a[i] op b[i % period] */
  elementwise(
    op: number,
    size: number,
    period: number,
    a: Float32Array | null,
    b: Float32Array | null,
    to: Float32Array,
  ): void
  /** to[c] = sum over rows of a (rows, channels) */
  channelSum(rows: number, channels: number, a: Float32Array, to: Float32Array): void
  /** Over the last axis of (rows, classes). */
  softmax(rows: number, classes: number, a: Float32Array, to: Float32Array): void
  /**
   * The most that the current threads can do, measured for about so many seconds, and the probe that showed it:
   * multiply-adds in registers in GFLOP/s, or `copy` in GB/s read and written. null where the processor has no such
   * instructions.
   */
  peak(what: PeakKind, seconds: number): { readonly rate: number; readonly probe: string } | null
  isas(): Isa[]
  isa(): Isa
  setIsa(isa: Isa): void
  /** Whether the processor multiplies bfloat16 by itself (avx512_bf16). */
  hasBfloat16(): boolean
  threads(): number
  setThreads(threads: number): void
  /** Loops over voxels, described in voxels.ts, which calls them. They work on libuv's pool. */
  decode(
    raw: Uint8Array,
    to: Float32Array,
    type: number,
    swapped: boolean,
    slope: number,
    intercept: number,
  ): Promise<readonly [count: number, first: number]>
  /** shape = [source x 3, target x 2, z, low] */
  samplePlane(
    planes: readonly Float32Array[],
    to: Float32Array,
    map: Float64Array,
    shape: readonly number[],
    nearest: boolean,
    separable: boolean,
  ): Promise<void>
  /** shape = [source x 3, target x 2, z, planes, low]; gives the number of each plane's runs, or -1 for voxels */
  sampleMask(
    planes: readonly Float32Array[],
    to: Uint8Array,
    map: Float64Array,
    shape: readonly number[],
  ): Promise<number[]>
  clip(from: Float32Array, to: Float32Array, min: number, max: number, low: number, high: number): Promise<void>
  mapLabels(
    from: Float32Array,
    to: Float32Array,
    dense: Int16Array,
    values: Float64Array,
    classes: Int16Array,
  ): Promise<number>
  /** shape = [nx, ny, planes]; gives [low x, y, z, high x, y, z] */
  searchBox(voxels: Float32Array, shape: readonly number[], threshold: number): Promise<number[] | null>
  /** shape = [nx, ny, planes, z, nz, classes] */
  markCandidates(
    label: Float32Array,
    image: Float32Array,
    shape: readonly number[],
    threshold: number,
    bits: Uint8Array,
    counts: Float64Array,
  ): Promise<number>
  /**
   * While on, kernels that this JavaScript thread calls take the memory they work in and compute nothing: outputs, scalars
   * too, hold whatever was there. Memory that is only handed to them is hardly touched.
   */
  rehearse(on: boolean): void
  /** The most bytes that kernels worked in since the last `trimScratch`, those kept for later calls included; of the whole process. */
  scratchPeak(): number
  /** Gives back what kernels have kept for later calls, and counts afresh. */
  trimScratch(): void
  /** Not cleared. */
  allocate(bytes: number): ArrayBuffer
  release(buffer: ArrayBuffer): void
}

let loaded: Addon | undefined

/** Loads the addon once. ERR_ENGINE where it is not built or does not fit this machine. */
export function loadAddon(): Addon {
  if (loaded) return loaded
  const path = join(packageRoot(), 'build', 'ctflow.node')
  if (!existsSync(path)) {
    throw new PipelineError(
      'ERR_ENGINE',
      `${path}: the native engine is not built; run "npm run build" (it needs a C++ compiler, such as the package g++)`,
      { path },
    )
  }
  try {
    loaded = createRequire(import.meta.url)(path) as Addon
  } catch (error) {
    throw new PipelineError(
      'ERR_ENGINE',
      `${path}: the native engine does not load: ${messageOf(error)}; build it on this machine with "npm run build"`,
      { path },
      { cause: error },
    )
  }
  return loaded
}

/** The folder with package.json: above dist/native, or above native when run from source. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder)
  return folder
}
