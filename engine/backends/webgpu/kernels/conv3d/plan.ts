/** What a convolution or a gradient runs: its program, and how it is called. */

import type { Program } from '../../program.ts'
import { filterGradientProgram } from './filter-gradient.ts'
import { planFilterGradient } from './filter-gradient-tiles.ts'
import { perAxis, volumeOf, type Geometry, type Triple } from './geometry.ts'
import { matrixFilterGradientProgram, planMatrixFilterGradient } from './matrix-filter-gradient.ts'
import { chooseMatrixTile } from './matrix-tiles.ts'
import type { MatrixUnit } from './matrix-unit.ts'
import { matrixProgram } from './matrix.ts'
import { chooseTile, type DeviceLimits } from './tiles.ts'
import type { ProductOptions } from './product.ts'
import { tiledProgram } from './tiled.ts'

/** How an operand is read and in what precision. */
export interface Form {
  /** Of the group norm in front. */
  readonly groups?: number | undefined
  readonly residual: boolean
  readonly half: boolean
  /** What multiplies where a tile fits it; only with `half`. */
  readonly unit?: MatrixUnit | undefined
}

export interface Planned {
  readonly key: string
  readonly program: () => Program
  readonly uniforms: Readonly<Record<string, number>>
}

/** A convolution, or the gradient of its input; `undefined` where no tile holds it. */
export function planConvolution(
  given: Geometry,
  gradient: boolean,
  { unit, ...form }: Form,
  limits: DeviceLimits,
): Planned | undefined {
  const geometry = flattened(given)
  const { batch, filter, stride, pad } = geometry
  const [from, to] = gradient ? [geometry.output, geometry.input] : [geometry.input, geometry.output]
  const channels = [geometry.channelsIn, geometry.channelsOut] as const
  const [channelsIn, channelsOut] = gradient ? [channels[1], channels[0]] : channels
  const options: ProductOptions = { gradient, filter, stride, channelsIn, channelsOut, ...form }
  const extents = gradient ? perAxis((n, s) => Math.ceil(n / s), to, stride) : to
  const onUnit = unit && chooseMatrixTile(options, extents, unit, limits)
  const tile = onUnit ?? chooseTile(options, extents, limits)
  if (!tile) return undefined
  const tiles = perAxis((n, size) => Math.ceil(n / size), extents, tile.box)
  const classes = gradient ? volumeOf(stride) : 1
  return {
    key: JSON.stringify([options, tile, ...(onUnit ? [unit] : [])]),
    program: () => ('run' in tile ? tiledProgram(options, tile) : matrixProgram(options, tile, unit!)),
    uniforms: {
      groups: batch * volumeOf(tiles) * classes * Math.ceil(channelsOut / tile.channels),
      ...named('tiles', tiles),
      ...named('in', from),
      ...named('out', to),
      ...named('pad', pad),
    },
  }
}

export interface PlannedFilterGradient extends Planned {
  /** Both of one sample. */
  readonly chunks: number
  readonly groupsPerSample: number
}

/** Its uniforms still lack `groups` and `firstSample`. `undefined` where no tile holds the filter. */
export function planOfFilterGradient(
  given: Geometry,
  { groups, half, unit }: Omit<Form, 'residual'>,
  limits: DeviceLimits,
): PlannedFilterGradient | undefined {
  const geometry = flattened(given)
  const { filter, stride, pad, channelsIn, channelsOut } = geometry
  const options = { filter, stride, channelsIn, channelsOut, groups, half }
  const onUnit = unit && planMatrixFilterGradient(options, geometry.output, unit, limits)
  const plan = onUnit ?? planFilterGradient(options, geometry.output, limits)
  if (!plan) return undefined
  const { tile, boxes, boxesPerChunk, chunks } = plan
  const blocks = Math.ceil(channelsIn / tile.channelsIn) * Math.ceil(channelsOut / tile.channelsOut)
  return {
    key: JSON.stringify([options, tile, ...(onUnit ? [unit] : [])]),
    program: () =>
      'run' in tile ? filterGradientProgram(options, tile) : matrixFilterGradientProgram(options, tile, unit!),
    chunks,
    groupsPerSample: chunks * blocks,
    uniforms: {
      chunks,
      boxesPerChunk,
      ...named('boxes', boxes),
      ...named('in', geometry.input),
      ...named('out', geometry.output),
      ...named('pad', pad),
    },
  }
}

/** One tap per filter sees no neighbours: all voxels of a sample make one row. */
function flattened(geometry: Geometry): Geometry {
  const { filter, stride, pad, input, output } = geometry
  const plain = volumeOf(filter) === 1 && volumeOf(stride) === 1 && pad.every(n => n === 0)
  if (!plain || input.some((n, axis) => n !== output[axis])) return geometry
  const row: Triple = [1, 1, volumeOf(input)]
  return { ...geometry, input: row, output: row }
}

function named(name: string, [d, h, w]: Triple): Record<string, number> {
  return { [`${name}D`]: d, [`${name}H`]: h, [`${name}W`]: w }
}
