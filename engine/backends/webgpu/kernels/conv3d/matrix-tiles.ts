/**
 * Which tile a convolution on matrix units takes: the cheapest by a count of cycles, as in tiles.ts. The units' own speed is
 * that of an NVIDIA multiprocessor by its data sheet. Nothing here depends on the batch.
 */

import { lanesOfStage } from './matrix-stage.ts'
import { matrixLayout, type MatrixOptions, type MatrixTile } from './matrix.ts'
import { sumsPerThread, type MatrixUnit } from './matrix-unit.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { reachOf } from './product.ts'
import {
  bytesPerCycle,
  lanesPerCycle,
  mostThreads,
  mostWorkgroupBytes,
  perInputVector,
  upTo,
  useOf,
  type DeviceLimits,
} from './tiles.ts'

/** Multiplications with addition of a multiprocessor's matrix units. */
export const matrixProductsPerCycle = 1024
/** Numbers that a thread can keep in registers beside what it reads. */
export const mostMatrixSums = 64
/** Instructions for one vector of the filter, and of the output, between memory and workgroup memory. */
export const perMatrixVector = 24

const widths = [4, 8, 16, 28, 32, 64]
const heights = [1, 2, 4, 7, 8, 14, 16]
const depths = [1, 2, 4, 8]
const chunks = [8, 16]

/** `extents`: of the output, of one class for a gradient. `undefined` where no tile fits. */
export function chooseMatrixTile(
  options: MatrixOptions,
  extents: Triple,
  unit: MatrixUnit,
  limits: DeviceLimits,
): MatrixTile | undefined {
  const bytes = Math.min(limits.maxComputeWorkgroupStorageSize, mostWorkgroupBytes)
  let best: MatrixTile | undefined
  let least = Infinity
  for (const tile of candidates(options, extents, unit, mostSubgroups(unit, limits))) {
    const layout = matrixLayout(options, tile, unit)
    if (layout.bytes > bytes) continue
    if (layout.own[0] * layout.own[1] * sumsPerThread(unit) > mostMatrixSums) continue
    if (layout.threads % (tile.chunk / lanesOfStage(options.channelsIn)) !== 0) continue
    const cost = cyclesOf(options, tile, extents, unit)
    if (cost < least) [best, least] = [tile, cost]
  }
  return best
}

export function mostSubgroups(unit: MatrixUnit, limits: DeviceLimits): number {
  return Math.floor(Math.min(limits.maxComputeInvocationsPerWorkgroup, mostThreads) / unit.subgroup)
}

/** Powers of two up to `most`, from a quarter of it on. */
export function subgroupCounts(most: number): number[] {
  return [1, 2, 4, 8, 16, 32].filter(n => n <= most && 4 * n >= most)
}

function* candidates(
  options: MatrixOptions,
  extents: Triple,
  { n }: MatrixUnit,
  subgroupsAtMost: number,
): Generator<MatrixTile> {
  const { taps } = reachOf(options)
  const slices = [...new Set([taps[0] * taps[1], taps[1], 1])]
  for (const width of upTo(widths, extents[2]))
    for (const height of upTo(heights, extents[1]))
      for (const depth of upTo(depths, extents[0]))
        for (const columns of upTo([1, 2, 4], Math.ceil(options.channelsOut / n)))
          for (const subgroups of subgroupCounts(subgroupsAtMost))
            for (const across of [1, 2, 4])
              if (columns % across === 0 && subgroups % across === 0)
                for (const chunk of upTo(chunks, options.channelsIn))
                  for (const slice of slices)
                    yield { box: [depth, height, width], channels: columns * n, chunk, slice, subgroups, across }
}

function cyclesOf(options: MatrixOptions, tile: MatrixTile, extents: Triple, unit: MatrixUnit): number {
  const { stage, threads, own, tapRows, bytes } = matrixLayout(options, tile, unit)
  const { m, n, k } = unit
  const [rows, columns] = own
  const chunksIn = Math.ceil(options.channelsIn / tile.chunk)
  const turns = tile.subgroups * chunksIn * tapRows * stage.pieces
  const multiplying = (turns * rows * columns * m * n * k) / matrixProductsPerCycle
  const reading = (turns * 2 * k * (rows * m + columns * n)) / bytesPerCycle
  const perThread = (vectors: number): number => Math.ceil(vectors / threads)
  const filling =
    chunksIn * perThread((stage.positions * tile.chunk) / lanesOfStage(options.channelsIn)) * perInputVector +
    chunksIn * perThread((tapRows * stage.pieces * k * tile.channels) / 4) * perMatrixVector +
    rows * columns * perThread((tile.subgroups * m * n) / 4) * perMatrixVector
  const classes = options.gradient ? volumeOf(options.stride) : 1
  const groups =
    volumeOf(perAxis((size, box) => Math.ceil(size / box), extents, tile.box)) *
    Math.ceil(options.channelsOut / tile.channels) *
    classes
  const use = useOf(groups, threads, bytes)
  const waits = chunksIn * Math.ceil(tapRows / tile.slice) + 2 * rows * columns
  const cycles = Math.max(multiplying, reading) + (threads * filling) / lanesPerCycle + waits * use.waitCycles
  return (groups * cycles) / use.share
}
