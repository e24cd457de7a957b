/** Sizes of a convolution, as TensorFlow.js' attributes give them; what every kernel here checks first. */

import { backend_util } from '@tensorflow/tfjs'
import { check, type GpuPrecision } from '../kernel.ts'

/** One number per axis (D, H, W). */
export type Triple = readonly [number, number, number]
type Shape5 = [number, number, number, number, number]

export interface Geometry {
  readonly batch: number
  /** Extents of the input and of the output. */
  readonly input: Triple
  readonly output: Triple
  readonly channelsIn: number
  readonly channelsOut: number
  readonly filter: Triple
  readonly stride: Triple
  /** Zeros in front; those behind follow from the output's extents. */
  readonly pad: Triple
  readonly outShape: readonly number[]
  /** The same for the same sizes: what is planned for one is found again by it. */
  readonly key: string
}

/** A network asks for the same few dozen at every step. */
const known = new Map<string, Geometry>()
const mostKnown = 1000

/** ERR_ENGINE, with the kernel's name and the sizes, for what is no convolution or has a dilation. */
export function geometryOf(
  name: string,
  xShape: readonly number[],
  filterShape: readonly number[],
  attrs: Readonly<Record<string, unknown>>,
): Geometry {
  const { strides, pad, dilations } = attrs
  const key = [xShape, filterShape, strides, pad, dilations].join(';')
  let found = known.get(key)
  if (!found) {
    found = newGeometry(key, name, xShape, filterShape, attrs)
    if (known.size >= mostKnown) known.clear()
    known.set(key, found)
  }
  return found
}

function newGeometry(
  key: string,
  name: string,
  xShape: readonly number[],
  filterShape: readonly number[],
  attrs: Readonly<Record<string, unknown>>,
): Geometry {
  const dilations = [(attrs['dilations'] as number | number[] | undefined) ?? 1].flat()
  const sizes = `an input of ${xShape.join(' x ')} and a filter of ${filterShape.join(' x ')}`
  check(
    dilations.every(n => n === 1),
    name,
    `the webgpu backend has no dilation but 1, found ${dilations.join(', ')}`,
  )
  check(xShape.length === 5 && filterShape.length === 5, name, `expected five axes each, found ${sizes}`)
  check(xShape[4] === filterShape[3], name, `expected as many channels in both, found ${sizes}`)
  const info = backend_util.computeConv3DInfo(
    xShape as Shape5,
    filterShape as Shape5,
    attrs['strides'] as number | [number, number, number],
    1,
    attrs['pad'] as 'valid' | 'same',
  )
  const geometry: Geometry = {
    batch: info.batchSize,
    input: [info.inDepth, info.inHeight, info.inWidth],
    output: [info.outDepth, info.outHeight, info.outWidth],
    channelsIn: info.inChannels,
    channelsOut: info.outChannels,
    filter: [info.filterDepth, info.filterHeight, info.filterWidth],
    stride: [info.strideDepth, info.strideHeight, info.strideWidth],
    pad: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    outShape: info.outShape,
    key,
  }
  const { batch, input, output, channelsIn, channelsOut, filter } = geometry
  check(
    [batch, ...input, channelsIn, ...filter, ...output, channelsOut].every(n => n >= 1),
    name,
    `expected at least one voxel and channel in and out, found ${sizes}`,
  )
  return geometry
}

/**
 * Half precision serves the convolutions that cost the time. One tap per filter waits for memory anyway, and where one
 * channel comes in it is the image, whose grey values keep all their digits: both stay float32.
 */
export function isHalf(precision: GpuPrecision, { channelsIn, filter }: Geometry): boolean {
  return precision !== 'float32' && volumeOf(filter) > 1 && channelsIn > 1
}

export function volumeOf([d, h, w]: Triple): number {
  return d * h * w
}

/** One value per axis, from the three axes' values of each argument. */
export function perAxis<const Arguments extends readonly Triple[]>(
  f: (...values: { [K in keyof Arguments]: number }) => number,
  ...triples: Arguments
): Triple {
  const at = (axis: 0 | 1 | 2): number =>
    f(...(triples.map(triple => triple[axis]) as { [K in keyof Arguments]: number }))
  return [at(0), at(1), at(2)]
}
