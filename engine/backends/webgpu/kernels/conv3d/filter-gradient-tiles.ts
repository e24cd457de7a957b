/**
 * Which tile a filter's gradient takes, and into how many chunks a sample is cut: by the same count of cycles as the
 * convolution's (tiles.ts). Neither depends on the batch.
 */

import {
  filterGradientLayout,
  lanesOf,
  type FilterGradientOptions,
  type FilterGradientTile,
} from './filter-gradient.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import {
  busyThreads,
  cyclesToRead,
  lanesPerCycle,
  mostThreads,
  mostWorkgroupBytes,
  perInputVector,
  upTo,
  useOf,
  type DeviceLimits,
} from './tiles.ts'

export interface FilterGradientPlan<Tile = FilterGradientTile> {
  readonly tile: Tile
  readonly boxes: Triple
  readonly boxesPerChunk: number
  /** Of one sample. */
  readonly chunks: number
}

const widths = [4, 8, 16, 28, 32, 64, 128]
const heights = [1, 2, 4, 7, 8]
const depths = [1, 2, 4]
const blocks = [4, 8, 16]
const runs = [4, 8, 16, 28, 32]
const strandCounts = [1, 2, 4, 7, 8, 14, 16, 28, 32]
/** Numbers that a thread can keep in registers beside what it reads. */
const mostSums = 64
/** Instructions for one vector of sums: its way through workgroup memory to the others and into the partial sums. */
const perSum = 24
/** Of one sample: adding them up must not take longer than finding them. */
const mostChunks = 512
/** Of one sample's partial sums: writing and reading them must cost little beside finding them. */
const mostPartialBytes = 16 << 20

/** `undefined` where no tile fits, as for very large filters. */
export function planFilterGradient(
  options: FilterGradientOptions,
  extents: Triple,
  limits: DeviceLimits,
): FilterGradientPlan | undefined {
  const bytes = Math.min(limits.maxComputeWorkgroupStorageSize, mostWorkgroupBytes)
  const threads = Math.min(limits.maxComputeInvocationsPerWorkgroup, mostThreads)
  let best: FilterGradientTile | undefined
  let least = Infinity
  for (const tile of candidates(options, extents)) {
    const layout = filterGradientLayout(options, tile)
    if (layout.bytes > bytes || layout.threads > threads) continue
    if (layout.threads % (tile.channelsIn / lanesOf(options.channelsIn)) !== 0) continue
    const cost = cyclesOf(options, tile, extents)
    if (cost < least) [best, least] = [tile, cost]
  }
  if (!best) return undefined
  const boxes = perAxis((n, size) => Math.ceil(n / size), extents, best.box)
  const together = filterGradientLayout(options, best).threads * blocksOf(options, best)
  return { tile: best, boxes, ...cutIntoChunks(options, volumeOf(boxes), together) }
}

/** So many workgroups that a large GPU is busy; `threads`: of all blocks of channels. */
export function cutIntoChunks(
  { filter, channelsIn, channelsOut }: Pick<FilterGradientOptions, 'filter' | 'channelsIn' | 'channelsOut'>,
  boxes: number,
  threads: number,
): Pick<FilterGradientPlan, 'boxesPerChunk' | 'chunks'> {
  const wanted = (2 * busyThreads) / threads
  const affordable = mostPartialBytes / (4 * volumeOf(filter) * channelsIn * channelsOut)
  const most = Math.max(1, Math.min(boxes, Math.ceil(wanted), mostChunks, Math.floor(affordable)))
  const boxesPerChunk = Math.ceil(boxes / most)
  return { boxesPerChunk, chunks: Math.ceil(boxes / boxesPerChunk) }
}

function* candidates(options: FilterGradientOptions, extents: Triple): Generator<FilterGradientTile> {
  for (const width of upTo(widths, extents[2]))
    for (const height of upTo(heights, extents[1]))
      for (const depth of upTo(depths, extents[0]))
        for (const channelsIn of options.channelsIn === 1 ? [1] : upTo(blocks, options.channelsIn))
          for (const channelsOut of upTo(blocks, options.channelsOut))
            for (const perThread of channelsOut >= 8 ? [8, 4] : [4]) {
              if (perThread > 4 && options.filter[2] * lanesOf(channelsIn) * perThread > mostSums) continue
              for (const run of runs)
                for (const strands of strandCounts)
                  if (width % run === 0 && strands <= (width * height * depth) / run)
                    yield { box: [depth, height, width], run, channelsIn, channelsOut, perThread, strands }
            }
}

function blocksOf(options: FilterGradientOptions, tile: FilterGradientTile): number {
  return Math.ceil(options.channelsIn / tile.channelsIn) * Math.ceil(options.channelsOut / tile.channelsOut)
}

function cyclesOf(options: FilterGradientOptions, tile: FilterGradientTile, extents: Triple): number {
  const { filter, stride } = options
  const { box, run, channelsIn, channelsOut, perThread, strands } = tile
  const { halo, perStrand, threads, bytes } = filterGradientLayout(options, tile)
  const lanes = lanesOf(channelsIn)
  const warps = Math.ceil(threads / 32)
  const turns = Math.ceil(volumeOf(box) / run / strands)

  const products = run * filter[2] * lanes * perThread
  const strandsOfWarp = Math.min(strands, Math.ceil(32 / perStrand))
  const vectorsX = Math.min(32, strandsOfWarp * filter[0] * filter[1] * (channelsIn / lanes))
  const vectorsDy = Math.min(32, strandsOfWarp * (channelsOut / perThread))
  const fresh = Math.min(stride[2], filter[2])
  const readsOfX = run * fresh + (filter[2] - fresh)
  const readsOfDy = run * (perThread / 4)
  const reads = readsOfX * cyclesToRead(vectorsX * lanes * 4) + readsOfDy * cyclesToRead(vectorsDy * 16)
  const multiplying = (warps * 32 * turns * (products + readsOfX + readsOfDy)) / lanesPerCycle
  const reading = warps * turns * reads
  const vectorsToFill =
    Math.ceil((volumeOf(halo) * channelsIn) / lanes / threads) + Math.ceil((volumeOf(box) * channelsOut) / 4 / threads)
  const filling = (warps * 32 * vectorsToFill * perInputVector) / lanesPerCycle
  // Strands are added, and the sums written, once for all boxes of a chunk.
  const ending = (warps * 32 * ((filter[2] * lanes * perThread) / 4) * perSum) / lanesPerCycle

  const boxes = volumeOf(perAxis((n, size) => Math.ceil(n / size), extents, box))
  const all = boxes * blocksOf(options, tile)
  const groups = Math.min(all, (2 * busyThreads) / threads, mostChunks * blocksOf(options, tile))
  const use = useOf(groups, warps * 32, bytes)
  return (all * (Math.max(multiplying, reading) + filling + use.waitCycles) + groups * ending) / use.share
}
