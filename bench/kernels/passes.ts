/** The kernels that memory limits: norms, up-sampling, sums, soft-max, loss, Adam. */

import { elementwiseOps } from '../../native/addon.ts'
import { noise, type KernelCall, type KernelCase, type Memory } from './kernel-trial.ts'

/** A volume of a level: voxels D, H, W and channels. */
export interface Level {
  readonly size: readonly [number, number, number]
  readonly channels: number
}

/** Where arrays come from: shared memory for the timed call, fresh memory for the checked one. */
interface Arrays {
  input(slot: string, length: number): Float32Array
  output(slot: string, length: number): Float32Array
}
const fresh: Arrays = { input: (_, length) => noise(length), output: (_, length) => new Float32Array(length) }

/** Data of at least so many bytes pass through no cache: only then is the rate a share of the memory's. */
const beyondCaches = 64e6
/** Voxels that the comparison with plain loops has at most, as even extents. */
const checkedSize = [4, 12, 24] as const
const epsilon = 1e-5

interface Pass {
  readonly name: string
  readonly level: Level
  /** Bytes of one call per value of the volume: what must be read and written at the least. */
  readonly bytesPerValue: number
  readonly tolerance?: number
  readonly call: (level: Level, arrays: Arrays) => KernelCall
}

export function levelCases(level: Level, groups: number): KernelCase[] {
  return [
    groupNorm(level, groups),
    groupNormStatistics(level, groups),
    groupNormGradient(level, groups),
    add(level),
  ].map(passCase)
}

/** Up-sampling to a level. */
export function upsampleCases(level: Level): KernelCase[] {
  return [upsampleAdd(level), upsampleGradient(level)].map(passCase)
}

/** Of the network's last volume: the bias of its convolution, soft-max, the loss. */
export function headCases(level: Level): KernelCase[] {
  return [addBias(level), channelSum(level), softmax(level), diceCrossEntropy(level)].map(passCase)
}

function passCase({ name, level, bytesPerValue, tolerance = 1e-5, call }: Pass): KernelCase {
  const bytes = bytesPerValue * valuesOf(level)
  const small = { ...level, size: level.size.map((extent, i) => Math.min(extent, checkedSize[i]!)) as never }
  return {
    name: `${name}/${level.channels}ch/${level.size.toReversed().join('x')}/float32`,
    unit: 'GB/s',
    amount: bytes / 1e9,
    tolerance,
    timed: (memory: Memory) => call(level, memory),
    checked: () => call(small, fresh),
    ...(bytes >= beyondCaches && { peak: 'copy' as const }),
  }
}

const voxelsOf = ({ size }: Level): number => size[0] * size[1] * size[2]
const valuesOf = (level: Level): number => voxelsOf(level) * level.channels

function normArrays({ channels }: Level, groups: number) {
  return {
    gamma: noise(channels),
    beta: noise(channels),
    mean: new Float32Array(groups),
    rstd: new Float32Array(groups).fill(1),
  }
}

/** Two passes over x, since the statistics come first, and y. */
function groupNorm(level: Level, groups: number): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const { gamma, beta, mean, rstd } = normArrays(level, groups)
    const x = arrays.input('a', valuesOf(level))
    const y = arrays.output('to', valuesOf(level))
    const shape = [1, voxelsOf(level), level.channels, groups]
    return {
      run: addon => addon.groupNormForward(x, gamma, beta, y, mean, rstd, shape, epsilon, true),
      outputs: [y, mean, rstd],
    }
  }
  return { name: 'group-norm-relu', level, bytesPerValue: 12, call }
}

/** What a convolution needs that applies the norm as it reads: one pass over x. */
function groupNormStatistics(level: Level, groups: number): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const { gamma, beta, mean, rstd } = normArrays(level, groups)
    const x = arrays.input('a', valuesOf(level))
    const shape = [1, voxelsOf(level), level.channels, groups]
    return {
      run: addon => addon.groupNormForward(x, gamma, beta, null, mean, rstd, shape, epsilon, true),
      outputs: [mean, rstd],
    }
  }
  return { name: 'group-norm-statistics', level, bytesPerValue: 4, call }
}

/** Two passes over dy and x, and dx. */
function groupNormGradient(level: Level, groups: number): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const { gamma, beta, mean, rstd } = normArrays(level, groups)
    const dy = arrays.input('a', valuesOf(level))
    const x = arrays.input('b', valuesOf(level))
    const dx = arrays.output('to', valuesOf(level))
    const dgamma = new Float32Array(level.channels)
    const dbeta = new Float32Array(level.channels)
    const shape = [1, voxelsOf(level), level.channels, groups]
    return {
      run: addon => addon.groupNormGradient(dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta, shape, epsilon, true),
      outputs: [dx, dgamma, dbeta],
    }
  }
  return { name: 'group-norm-relu-gradient', level, bytesPerValue: 20, tolerance: 1e-4, call }
}

function add(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const size = valuesOf(level)
    const a = arrays.input('a', size)
    const b = arrays.input('b', size)
    const to = arrays.output('to', size)
    return { run: addon => addon.elementwise(elementwiseOps.add, size, size, a, b, to), outputs: [to] }
  }
  return { name: 'add', level, bytesPerValue: 12, call }
}

function smallOf({ size, channels }: Level): { shape: number[]; values: number } {
  const shape = [1, ...size.map(extent => extent / 2), channels]
  return { shape, values: shape.reduce((product, n) => product * n, 1) }
}

function upsampleAdd(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const { shape, values } = smallOf(level)
    const x = arrays.input('a', values)
    const skip = arrays.input('b', valuesOf(level))
    const y = arrays.output('to', valuesOf(level))
    return { run: addon => addon.upsampleForward(x, skip, y, shape), outputs: [y] }
  }
  return { name: 'upsample-add', level, bytesPerValue: 8.5, call }
}

function upsampleGradient(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const { shape, values } = smallOf(level)
    const dy = arrays.input('a', valuesOf(level))
    const dx = arrays.output('to', values)
    return { run: addon => addon.upsampleGradient(dy, dx, shape), outputs: [dx] }
  }
  return { name: 'upsample-gradient', level, bytesPerValue: 4.5, call }
}

function addBias(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const size = valuesOf(level)
    const a = arrays.input('a', size)
    const bias = noise(level.channels)
    const to = arrays.output('to', size)
    return { run: addon => addon.elementwise(elementwiseOps.add, size, level.channels, a, bias, to), outputs: [to] }
  }
  return { name: 'add-bias', level, bytesPerValue: 8, call }
}

function channelSum(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const a = arrays.input('a', valuesOf(level))
    const to = new Float32Array(level.channels)
    return { run: addon => addon.channelSum(voxelsOf(level), level.channels, a, to), outputs: [to] }
  }
  return { name: 'channel-sum', level, bytesPerValue: 4, call }
}

function softmax(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const a = arrays.input('a', valuesOf(level))
    const to = arrays.output('to', valuesOf(level))
    return { run: addon => addon.softmax(voxelsOf(level), level.channels, a, to), outputs: [to] }
  }
  return { name: 'softmax', level, bytesPerValue: 8, call }
}

/** Soft-max, Dice with squared probabilities and cross-entropy: the logits twice, the labels twice, and the gradient. */
function diceCrossEntropy(level: Level): Pass {
  const call = (level: Level, arrays: Arrays): KernelCall => {
    const voxels = voxelsOf(level)
    const logits = arrays.input('a', valuesOf(level))
    const labels = Int32Array.from({ length: voxels }, (_, i) => (i % 10 === 0 ? 1 : 0))
    const dlogits = arrays.output('to', valuesOf(level))
    const loss = new Float32Array(3)
    return {
      run: addon => {
        const shape = [1, voxels, level.channels, 1, 1, 0, 0]
        loss.set(addon.diceCrossEntropy(logits, labels, dlogits, shape, epsilon, epsilon, 1, 1).slice(0, 3))
      },
      outputs: [dlogits, loss],
    }
  }
  return { name: 'dice-ce', level, bytesPerValue: 12 + 8 / level.channels, call }
}

/** All parameters as one tensor: reads four, writes three. */
export function adamCase(parameters: number): KernelCase {
  const bytes = 28 * parameters
  return {
    name: `adam/${parameters}/float32`,
    unit: 'GB/s',
    amount: bytes / 1e9,
    tolerance: 1e-5,
    timed: () => adamCall(parameters),
    checked: () => adamCall(1001),
    ...(bytes >= beyondCaches && { peak: 'copy' as const }),
  }
}

function adamCall(size: number): KernelCall {
  const [param, m, gradient] = [noise(size), noise(size), noise(size)] as const
  const v = noise(size).map(Math.abs)
  return {
    run: addon => addon.adamUpdate(param, m, v, gradient, size, 0.9, 0.999, 1e-8, 0, 1e-3, 1),
    outputs: [param, m, v],
  }
}
