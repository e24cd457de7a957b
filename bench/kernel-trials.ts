/** Every kernel at every shape that the published network has, and the processor's own peak, in one process. */

import { loadAddon } from '../native/addon.ts'
import type { Trial } from './trial.ts'

interface Convolution {
  readonly name: string
  /** D, H, W of the input. */
  readonly size: readonly [number, number, number]
  readonly ci: number
  readonly co: number
  readonly kernel: number
  readonly stride: number
}

const convolutions: readonly Convolution[] = [
  { name: '8ch', size: [32, 224, 224], ci: 8, co: 8, kernel: 3, stride: 1 },
  { name: '16ch', size: [16, 112, 112], ci: 16, co: 16, kernel: 3, stride: 1 },
  { name: '32ch', size: [8, 56, 56], ci: 32, co: 32, kernel: 3, stride: 1 },
  { name: '64ch', size: [4, 28, 28], ci: 64, co: 64, kernel: 3, stride: 1 },
  { name: '128ch', size: [4, 28, 28], ci: 128, co: 128, kernel: 3, stride: 1 },
  { name: '1to8ch', size: [32, 224, 224], ci: 1, co: 8, kernel: 3, stride: 1 },
  { name: '8to16ch-stride2', size: [32, 224, 224], ci: 8, co: 16, kernel: 3, stride: 2 },
  { name: '16to32ch-stride2', size: [16, 112, 112], ci: 16, co: 32, kernel: 3, stride: 2 },
  { name: '32to64ch-stride2', size: [8, 56, 56], ci: 32, co: 64, kernel: 3, stride: 2 },
  { name: '16to8ch-1x1', size: [16, 112, 112], ci: 16, co: 8, kernel: 1, stride: 1 },
  { name: '8to2ch-1x1', size: [32, 224, 224], ci: 8, co: 2, kernel: 1, stride: 1 },
]

function random(length: number): Float32Array {
  let state = 1
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32 - 0.5
  })
}

/** Repetitions of one measurement: enough that a clock tick does not matter. */
function timed(work: () => void, least = 0.05): number {
  let repetitions = 0
  const started = performance.now()
  let seconds = 0
  do {
    work()
    repetitions += 1
    seconds = (performance.now() - started) / 1000
  } while (seconds < least)
  return seconds / repetitions
}

let measured = 0

/** GFLOP/s of multiply-adds in registers: the best of several probes. */
export function measurePeak(): number {
  for (let i = 0; i < 3; i++) measured = Math.max(measured, loadAddon().peak(0.1))
  return measured
}

export function peakTrials(): readonly Trial[] {
  return [{ name: 'fma-peak/float32', unit: 'GFLOP/s', runs: 9, run: async () => loadAddon().peak(0.2) }]
}

export function trials(): readonly Trial[] {
  return [...convolutions.flatMap(convolutionTrials), ...memoryTrials()]
}

const volume = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)

/** FLOPs: 2 x kernel volume x Cin x Cout x output voxels, borders counted in full. */
function convolutionTrials({ name, size, ci, co, kernel, stride }: Convolution): Trial[] {
  const pad = kernel === 3 ? 1 : 0
  const out = size.map(n => Math.floor((n + 2 * pad - kernel) / stride) + 1)
  const shape = [1, ...size, ci, kernel, kernel, kernel, ...out, co, stride, stride, stride, pad, pad, pad]
  const gflop = (2 * kernel ** 3 * ci * co * volume(out)) / 1e9
  let x: Float32Array, y: Float32Array, filter: Float32Array
  const prepare = async (): Promise<void> => {
    x = random(volume(size) * ci)
    y = random(volume(out) * co)
    filter = random(kernel ** 3 * ci * co)
  }
  const trial = (op: string, work: () => void): Trial => ({
    name: `${op}/${name}/float32`,
    unit: 'GFLOP/s',
    runs: 5,
    prepare,
    // The clock varies: a peak measured beside the kernel is the fair one.
    run: async () => {
      measurePeak()
      return gflop / timed(work)
    },
    peak: () => measured,
  })
  const addon = loadAddon()
  return [
    trial('conv3d-forward', () => addon.conv3dForward(x, filter, y, shape)),
    trial('conv3d-input-gradient', () => addon.conv3dInputGradient(y, filter, x, shape)),
    trial('conv3d-filter-gradient', () => addon.conv3dFilterGradient(x, y, filter, shape)),
  ]
}

/** Bytes: what a kernel must read and write at the least. */
function memoryTrials(): Trial[] {
  const addon = loadAddon()
  const voxels = 224 * 224 * 32
  const channels = 8
  const size = voxels * channels
  let a: Float32Array, b: Float32Array, c: Float32Array
  const gamma = new Float32Array(channels).fill(1)
  const beta = new Float32Array(channels)
  const small = (): Float32Array => new Float32Array(channels)
  const [mean, rstd, dgamma, dbeta] = [small(), small().fill(1), small(), small()]
  const prepare = async (): Promise<void> => {
    a = random(size)
    b = random(size)
    c = random(size)
  }
  const norm = [1, voxels, channels, channels]
  const trial = (name: string, tensors: number, work: () => void): Trial => ({
    name: `${name}/8ch/224x224x32/float32`,
    unit: 'GB/s',
    runs: 5,
    prepare,
    run: async () => (tensors * size * 4) / 1e9 / timed(work),
  })
  return [
    trial('group-norm-relu', 3, () => addon.groupNormForward(a, gamma, beta, b, mean!, rstd!, norm, 1e-5, true)),
    trial('group-norm-relu-gradient', 5, () =>
      addon.groupNormGradient(a, b, gamma, beta, mean!, rstd!, c, dgamma!, dbeta!, norm, 1e-5, true),
    ),
    trial('upsample-add', 2.125, () => addon.upsampleForward(a.subarray(0, size / 8), b, c, [1, 16, 112, 112, 8])),
    trial('upsample-gradient', 1.125, () => addon.upsampleGradient(a, b.subarray(0, size / 8), [1, 16, 112, 112, 8])),
    trial('add', 3, () => addon.elementwise(0, size, size, a, b, c)),
  ]
}
