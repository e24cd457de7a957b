/** What SegResNet computes, as sizes: every convolution, and the volumes of every level. */

import { publishedSegresnet, segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import { sizeOf } from '../../model/parameters.ts'
import type { Shape3 } from '../../pipeline/grid.ts'

/** A convolution; sizes are voxels along D, H, W. */
export interface Convolution {
  readonly input: Shape3
  readonly output: Shape3
  readonly ci: number
  readonly co: number
  /** Along each axis. */
  readonly kernel: number
  readonly stride: number
  /** The image is the input: nobody asks for its gradient. */
  readonly first: boolean
}

/** The published network with another number of filters. */
export function networkWith(initFilters: number): SegresnetOptions {
  return { ...publishedSegresnet, initFilters }
}

/** Voxels of a level, D, H, W, of a patch x, y, z. */
export function sizeOfLevel([x, y, z]: Shape3, level: number): Shape3 {
  return [z, y, x].map(extent => extent / 2 ** level) as unknown as Shape3
}

/** Each once, in the order of the network's parameters. */
export function convolutionsOf(network: SegresnetOptions, patch: Shape3): Convolution[] {
  const convolutions = segresnetParameters(network)
    .filter(({ kind }) => kind === 'filter')
    .map(({ name, shape }) => {
      const [co, ci, kernel] = shape as [number, number, number]
      const stride = /^down_layers\.\d+\.0\./.test(name) ? 2 : 1
      const output = sizeOfLevel(patch, levelOf(name, network))
      const input = output.map(extent => extent * stride) as unknown as Shape3
      return { input, output, ci, co, kernel, stride, first: name.startsWith('convInit') }
    })
  return [...new Map(convolutions.map(convolution => [JSON.stringify(convolution), convolution])).values()]
}

/** The level on which a convolution gives its result. */
function levelOf(name: string, { blocksDown }: SegresnetOptions): number {
  const deepest = blocksDown.length - 1
  const [, part, index] = /^(down_layers|up_layers|up_samples)\.(\d+)\./.exec(name) ?? []
  if (part === 'down_layers') return Number(index)
  if (part === 'up_layers') return deepest - 1 - Number(index)
  // Before its result is up-sampled.
  if (part === 'up_samples') return deepest - Number(index)
  return 0
}

/** 2 x kernel volume x Cin x Cout x output voxels: taps outside the volume are counted too. */
export function flopsOf({ kernel, ci, co, output }: Convolution): number {
  return 2 * kernel ** 3 * ci * co * voxelsOf(output)
}

/**
 * The share of those FLOPs that must be done: taps outside the volume need not, and where rows are filtered with stride 1
 * and three taps, Winograd's F(2, 3) has two thirds of the products, those at the rows' ends included.
 */
export function shareNeeded({ input, output, kernel, stride }: Convolution): number {
  const pad = (kernel - 1) / 2
  return output.reduce((share, extent, axis) => {
    if (axis === 2 && kernel === 3 && stride === 1) return (share * 2) / 3
    let inside = 0
    for (let o = 0; o < extent; o++)
      for (let tap = 0; tap < kernel; tap++) {
        const at = o * stride - pad + tap
        if (at >= 0 && at < input[axis]!) inside += 1
      }
    return (share * inside) / (extent * kernel)
  }, 1)
}

export function voxelsOf(shape: readonly number[]): number {
  return sizeOf(shape)
}

/** `8to16ch/224x224x32/stride-2`: channels, input's voxels x, y, z, and what is not 3 x 3 x 3 or stride 1. */
export function nameOf({ input, ci, co, kernel, stride }: Convolution): string {
  const channels = ci === co ? `${ci}ch` : `${ci}to${co}ch`
  const parts = [channels, input.toReversed().join('x')]
  if (kernel !== 3) parts.push(`kernel-${kernel}`)
  if (stride !== 1) parts.push(`stride-${stride}`)
  return parts.join('/')
}
