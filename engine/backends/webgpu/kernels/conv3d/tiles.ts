/**
 * Which tile a convolution takes: the cheapest by a count of cycles, among those that the device's workgroup memory holds.
 *
 * The count is that of an NVIDIA multiprocessor: 128 multiplications with addition and 128 bytes of workgroup memory per
 * cycle. Others have half or twice as many lanes with the memory to match, so that the order of tiles stays much the same.
 * Nothing here depends on the batch, and a sample's sums are added in the same order whatever the tile's box.
 */

import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { reachOf, type ProductOptions } from './product.ts'
import { layoutOf, type Tile } from './tiled.ts'

export interface DeviceLimits {
  readonly maxComputeWorkgroupStorageSize: number
  readonly maxComputeInvocationsPerWorkgroup: number
}

/** What all of WebGPU's devices hold, and more than which leaves a multiprocessor too few workgroups. */
export const mostThreads = 256
export const mostWorkgroupBytes = 32_768

export const lanesPerCycle = 128
export const bytesPerCycle = 128
/** Instructions for one vector of the input, from its address to workgroup memory, and for one of the filter. */
export const perInputVector = 24
const perFilterVector = 16
/** Multiprocessors of a large GPU, the workgroup memory and the threads of one, and so many threads that hide latencies. */
const multiprocessors = 132
const memoryOfEach = 200 * 1024
const threadsOfEach = 2048
const hidingThreads = 384
/** A large GPU's threads, when each multiprocessor has 256. */
export const busyThreads = multiprocessors * 256
/** From asking for memory until all threads of a workgroup have passed the barrier behind it. */
const waitCycles = 800

const widths = [4, 8, 16, 28, 32, 64, 128, 256]
const heights = [1, 2, 4, 7, 8, 14, 16]
const depths = [1, 2, 4, 8]
const blocks = [4, 8, 16, 32, 64]
const chunks = [4, 8, 16]

/** `extents`: of the output, of one class for a gradient. `undefined` where no tile fits, as for very large filters. */
export function chooseTile(options: ProductOptions, extents: Triple, limits: DeviceLimits): Tile | undefined {
  const bytes = Math.min(limits.maxComputeWorkgroupStorageSize, mostWorkgroupBytes)
  const threads = Math.min(limits.maxComputeInvocationsPerWorkgroup, mostThreads)
  let best: Tile | undefined
  let least = Infinity
  for (const tile of candidates(options, extents)) {
    if ((volumeOf(tile.box) / tile.run) * (tile.channels / tile.perThread) > threads) continue
    const layout = layoutOf(options, tile)
    if (layout.inputBytes + layout.filterBytes > bytes) continue
    if (options.channelsIn % 4 === 0 && layout.threads % (tile.chunk / 4) !== 0) continue
    const cost = cyclesOf(options, tile, extents)
    if (cost < least) [best, least] = [tile, cost]
  }
  return best
}

function* candidates(options: ProductOptions, extents: Triple): Generator<Tile> {
  const planes = reachOf(options).taps[0]
  for (const width of upTo(widths, extents[2]))
    for (const height of upTo(heights, extents[1]))
      for (const depth of upTo(depths, extents[0]))
        for (const channels of upTo(blocks, options.channelsOut))
          for (const perThread of channels >= 8 ? [8, 4] : [4])
            for (const chunk of options.channelsIn < 4 ? [options.channelsIn] : upTo(chunks, options.channelsIn))
              for (const slice of planes === 1 ? [1] : [planes, 1])
                for (const run of width % 8 === 0 ? [8, 4] : [4])
                  yield { box: [depth, height, width], run, channels, perThread, chunk, slice }
}

/** Those below a size, and the first that covers it. */
export function upTo(sizes: readonly number[], size: number): readonly number[] {
  const covering = sizes.findIndex(n => n >= size)
  return covering < 0 ? sizes : sizes.slice(0, covering + 1)
}

function cyclesOf(options: ProductOptions, tile: Tile, extents: Triple): number {
  const { taps, step } = reachOf(options)
  const { threads, halo, inputBytes, filterBytes } = layoutOf(options, tile)
  const { run } = tile
  const lanes = options.channelsIn % 4 === 0 ? 4 : 1
  const chunksIn = Math.ceil(options.channelsIn / tile.chunk)
  const channelsIn = chunksIn * tile.chunk
  const across = tile.channels / tile.perThread
  const warps = Math.ceil(threads / 32)

  const rows = taps[0] * taps[1] * channelsIn
  const products = rows * taps[2] * run * tile.perThread
  const inputReads = (run - 1) * step[2] + taps[2]
  const filterReads = taps[2] * (tile.perThread / 4)
  const multiplying = (warps * 32 * (products + rows * (inputReads + filterReads))) / lanesPerCycle
  const reading = warps * rows * (inputReads + filterReads * cyclesToRead(Math.min(32, across) * 16))
  const filling =
    (warps *
      32 *
      (chunksIn * Math.ceil((volumeOf(halo) * tile.chunk) / lanes / threads) * perInputVector +
        Math.ceil((volumeOf(taps) * channelsIn * tile.channels) / 4 / threads) * perFilterVector)) /
    lanesPerCycle

  const classes = options.gradient ? volumeOf(options.stride) : 1
  const groups =
    volumeOf(perAxis((n, size) => Math.ceil(n / size), extents, tile.box)) *
    Math.ceil(options.channelsOut / tile.channels) *
    classes
  const waits = chunksIn * Math.ceil(taps[0] / tile.slice)
  const use = useOf(groups, warps * 32, inputBytes + filterBytes)
  return (groups * (Math.max(multiplying, reading) + filling + waits * use.waitCycles)) / use.share
}

export interface Use {
  /** Of what a large GPU could do in the same time. */
  readonly share: number
  /** That a multiprocessor waits for one workgroup's memory, while it works on its others. */
  readonly waitCycles: number
}

export function useOf(groups: number, threads: number, workgroupBytes: number): Use {
  const fitting = Math.max(1, Math.min(Math.floor(memoryOfEach / workgroupBytes), Math.floor(threadsOfEach / threads)))
  const together = Math.min(fitting, Math.max(1, groups / multiprocessors))
  return {
    share: Math.min(1, groups / multiprocessors) * Math.min(1, Math.sqrt((together * threads) / hidingThreads)),
    waitCycles: waitCycles / together,
  }
}

export function cyclesToRead(bytes: number): number {
  return Math.max(1, bytes / bytesPerCycle)
}
