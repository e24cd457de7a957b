/** Single kernels as the engine calls them, on any backend: convolutions with both gradients, norms, up-sampling. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Tensor1D, Tensor5D } from '@tensorflow/tfjs'
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from '../../engine/ops/conv3d.ts'
import { normalise, normaliseGradient, normRelu, statisticsOf } from '../../engine/ops/group-norm-relu.ts'
import { normConv3d } from '../../engine/ops/norm-conv3d.ts'
import { upsampleAdd } from '../../engine/ops/upsample.ts'
import type { SegresnetOptions } from '../../model/segresnet.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { cropped } from '../kernels/convolutions.ts'
import { noise } from '../kernels/kernel-trial.ts'
import {
  convolutionsOf,
  flopsOf,
  nameOf,
  shareNeeded,
  sizeOfLevel,
  voxelsOf,
  type Convolution,
} from '../kernels/layers.ts'
import { secondsOf, type MeasuredDevice, type Peak } from './device.ts'
import type { Trial } from '../trial.ts'

/** Tensors that a kernel reads, made on the current backend, and one call on them. */
export interface KernelCall {
  readonly inputs: readonly Tensor[]
  /** New tensors. */
  readonly run: () => Tensor[]
}

export interface KernelCase {
  readonly name: string
  readonly unit: 'TFLOP/s' | 'GB/s'
  /** TFLOP or GB of one call. */
  readonly amount: number
  /** See Trial. */
  readonly necessary?: number
  readonly peak: Peak
  /** Largest difference from TensorFlow.js' plain loops, relative to the largest value. */
  readonly tolerance: number
  readonly timed: () => KernelCall
  /** The same kernel on a size that plain loops can do. */
  readonly checked: () => KernelCall
  /** What PyTorch has to do for the same, where it is compared. */
  readonly peer?: { readonly convolution: Convolution; readonly pass: Pass }
}

export type Pass = 'forward' | 'input-gradient' | 'filter-gradient'

type Extents5 = [number, number, number, number, number]

/** What plain loops in JavaScript do in a moment. */
const checkedFlops = 1e7
const checkedExtents = [4, 12, 24] as const

export function kernelCases(network: SegresnetOptions, patch: Shape3): KernelCase[] {
  const levels = network.blocksDown.map((_, level) => ({
    size: sizeOfLevel(patch, level),
    channels: network.initFilters * 2 ** level,
  }))
  return [
    ...convolutionsOf(network, patch).flatMap(convolution => convolutionCases(convolution, network.groups)),
    ...levels.flatMap(level => normCases(level, network.groups)),
    ...levels.slice(0, -1).map(upsampleCase),
  ]
}

function convolutionCases(convolution: Convolution, groups: number): KernelCase[] {
  const { ci, co, kernel, stride, first } = convolution
  const passes: readonly Pass[] = first
    ? ['forward', 'filter-gradient']
    : ['forward', 'input-gradient', 'filter-gradient']
  const common = {
    unit: 'TFLOP/s',
    amount: flopsOf(convolution) / 1e12,
    necessary: shareNeeded(convolution),
    peak: 'multiply-add',
    // Sums of up to millions of products, in another order.
    tolerance: 1e-4,
  } as const
  const plain = passes.map((pass): KernelCase => ({
    ...common,
    name: `conv3d-${pass}/${nameOf(convolution)}`,
    timed: () => passCall(pass, convolution),
    checked: () => passCall(pass, cropped(convolution, checkedFlops)),
    peer: { convolution, pass },
  }))
  // What a residual block asks for.
  const ofBlock = ci === co && kernel === 3 && stride === 1
  if (!ofBlock) return plain
  return [
    ...plain,
    {
      ...common,
      name: `norm-conv3d-residual-forward/${nameOf(convolution)}`,
      timed: () => blockCall(convolution, groups),
      checked: () => blockCall(cropped(convolution, checkedFlops), groups),
    },
  ]
}

function tensor5(shape: Extents5): Tensor5D {
  return tf.tensor5d(noise(voxelsOf(shape)), shape)
}

function tensorsOf({ input, output, ci, co, kernel }: Convolution): { x: Extents5; filter: Extents5; dy: Extents5 } {
  return { x: [1, ...input, ci], filter: [kernel, kernel, kernel, ci, co], dy: [1, ...output, co] }
}

function passCall(pass: Pass, convolution: Convolution): KernelCall {
  const { stride } = convolution
  const shapes = tensorsOf(convolution)
  switch (pass) {
    case 'forward': {
      const [x, filter] = [tensor5(shapes.x), tensor5(shapes.filter)]
      return { inputs: [x, filter], run: () => [conv3d(x, filter, stride)] }
    }
    case 'input-gradient': {
      const [dy, filter] = [tensor5(shapes.dy), tensor5(shapes.filter)]
      return { inputs: [dy, filter], run: () => [conv3dInputGradient(dy, filter, shapes.x, stride)] }
    }
    case 'filter-gradient': {
      const [x, dy] = [tensor5(shapes.x), tensor5(shapes.dy)]
      return { inputs: [x, dy], run: () => [conv3dFilterGradient(x, dy, shapes.filter, stride)] }
    }
  }
}

function blockCall(convolution: Convolution, groups: number): KernelCall {
  const shapes = tensorsOf(convolution)
  const [x, filter, residual] = [tensor5(shapes.x), tensor5(shapes.filter), tensor5(shapes.dy)]
  const { gamma, beta } = scaleAndShift(convolution.ci)
  const statistics = statisticsOf(x, normRelu(groups))
  return {
    inputs: [x, filter, residual, gamma, beta, statistics.mean, statistics.rstd],
    run: () => [normConv3d(x, statistics, { gamma, beta, filter }, groups, residual)],
  }
}

function scaleAndShift(channels: number): { gamma: Tensor1D; beta: Tensor1D } {
  return { gamma: tf.tensor1d(noise(channels).map(value => value + 1)), beta: tf.tensor1d(noise(channels)) }
}

/** A volume of a level: voxels D, H, W and channels. */
interface Level {
  readonly size: Shape3
  readonly channels: number
}

/** What must be read and written at the least, in float32 values for every one of the volume. */
function levelCase(
  name: string,
  level: Level,
  values: number,
  call: (level: Level) => KernelCall,
  tolerance = 1e-4,
): KernelCase {
  // Even, for up-sampling.
  const small = { ...level, size: level.size.map((n, i) => Math.min(n, checkedExtents[i]!)) as unknown as Shape3 }
  return {
    name: `${name}/${level.channels}ch/${level.size.toReversed().join('x')}`,
    unit: 'GB/s',
    amount: (4 * values * voxelsOf(level.size) * level.channels) / 1e9,
    peak: 'copy',
    tolerance,
    timed: () => call(level),
    checked: () => call(small),
  }
}

function normCases(level: Level, groups: number): KernelCase[] {
  const options = normRelu(groups)
  const volume = ({ size, channels }: Level): Tensor5D => tensor5([1, ...size, channels])
  return [
    // Two passes over x, since the statistics come first, and y.
    levelCase('group-norm-relu', level, 3, level => {
      const x = volume(level)
      const { gamma, beta } = scaleAndShift(level.channels)
      return {
        inputs: [x, gamma, beta],
        run: () => {
          const { y, mean, rstd } = normalise(x, gamma, beta, options)
          return [y, mean, rstd]
        },
      }
    }),
    levelCase('group-norm-statistics', level, 1, level => {
      const x = volume(level)
      return {
        inputs: [x],
        run: () => {
          const { mean, rstd } = statisticsOf(x, options)
          return [mean, rstd]
        },
      }
    }),
    // dy is given up, so a copy of it is made; then two passes over both, and dx.
    levelCase('group-norm-relu-gradient', level, 2 + 5, level => {
      const [x, dy] = [volume(level), volume(level)]
      const { gamma, beta } = scaleAndShift(level.channels)
      const statistics = statisticsOf(x, options)
      return {
        inputs: [x, dy, gamma, beta, statistics.mean, statistics.rstd],
        run: () => normaliseGradient(dy.mul(1), x, gamma, beta, statistics, options),
      }
    }),
  ]
}

/** To a level, whose own volume is added. */
function upsampleCase(level: Level): KernelCase {
  return levelCase('upsample-add', level, 2 + 1 / 8, ({ size: [d, h, w], channels }) => {
    const x = tensor5([1, d / 2, h / 2, w / 2, channels])
    const skip = tensor5([1, d, h, w, channels])
    return { inputs: [x, skip], run: () => [upsampleAdd(x, skip)] }
  })
}

/** Checked, then timed in turns with the device's peak. */
export function kernelTrial(kernel: KernelCase, device: MeasuredDevice, runs: number, seconds: number): Trial {
  const { name, unit, amount, necessary, peak, tolerance, timed, checked } = kernel
  let call: KernelCall | undefined
  let sync: Tensor | undefined
  let peakBeside = 0
  const settled = (): Promise<unknown> => device.read(sync!)
  return {
    name: `${device.backend}/${name}`,
    unit,
    runs,
    async prepare() {
      const difference = await differenceFromPlainLoops(device, checked)
      if (!(difference <= tolerance))
        throw new Error(`off TensorFlow.js' own loops by ${difference}, allowed are ${tolerance}`)
      call = timed()
      // Computed, so that it lies where kernels compute: reading it waits for all that was asked for before.
      sync = tf.tidy(() => tf.ones([4]).mul(2))
    },
    async run() {
      const probe = async (): Promise<number> => (await device.peak?.(peak, seconds / 4)) ?? 0
      const before = await probe()
      const taken = await secondsOf(() => tf.dispose(call!.run()), settled, seconds)
      // The clock varies: the better of the two that stand around the kernel.
      peakBeside = Math.max(before, await probe())
      return amount / taken
    },
    ...(device.peak && { peak: () => peakBeside }),
    ...(necessary !== undefined && { necessary }),
    async close() {
      tf.dispose([...(call?.inputs ?? []), ...(sync ? [sync] : [])])
    },
  }
}

/** Largest difference from what TensorFlow.js' cpu backend gives, relative to its largest value. The backend stays current. */
export async function differenceFromPlainLoops(device: MeasuredDevice, checked: () => KernelCall): Promise<number> {
  const found = await outputsOf(checked(), tensor => device.read(tensor))
  await tf.setBackend('cpu')
  try {
    const expected = await outputsOf(checked(), async tensor => tensor.dataSync<'float32'>())
    return Math.max(...expected.map((values, i) => relativeDifference(found[i]!, values)))
  } finally {
    await tf.setBackend(device.backend)
  }
}

async function outputsOf(
  { inputs, run }: KernelCall,
  read: (tensor: Tensor) => Promise<Float32Array>,
): Promise<Float32Array[]> {
  const outputs = run()
  const values: Float32Array[] = []
  for (const output of outputs) values.push(Float32Array.from(await read(output)))
  tf.dispose([...inputs, ...outputs])
  return values
}

function relativeDifference(found: Float32Array, expected: Float32Array): number {
  const differences = expected.map((value, i) => Math.abs(value - found[i]!))
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const difference = differences.reduce((most, value) => (Number.isNaN(value) ? Infinity : Math.max(most, value)), 0)
  return difference === 0 ? 0 : difference / largest
}
