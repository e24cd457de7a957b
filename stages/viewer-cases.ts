/** Chosen cases for the interactive viewer: scan, mask and reference, cut out around the lesions, as files in memory. */

import { indexMap, spacingOf } from '../imaging/affine.ts'
import { crop, croppedGrid } from '../imaging/crop.ts'
import type { Box } from '../imaging/foreground.ts'
import { expectSameGrid } from '../imaging/geometry-check.ts'
import { runBytes } from '../imaging/mask.ts'
import { niftiBytes } from '../imaging/nifti-write.ts'
import { resample } from '../imaging/resample.ts'
import { openScan } from '../imaging/scan-file.ts'
import { spacedGrid } from '../imaging/spacing.ts'
import { planRead } from '../imaging/volume-plan.ts'
import { voxelCount } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Case, ComparedMasks, Mask } from '../pipeline/flow.ts'
import type { Grid, Shape3, Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import type { ViewerCase } from '../report/page/page.ts'
import { pauseOf } from './pause.ts'

/** Around the lesions, mm. */
const marginMm = 15

/**
 * Voxels of a case, at most: 3 to 4 MB of scan, deflated. What is larger is made coarser by one factor along each axis; a
 * voxel of a mask then stands for all those that it covers, so that even the smallest lesion stays in it.
 */
const mostVoxels = 2_000_000

/** Of the scan, HU: 16 bits are enough. */
const [least, most] = [-1024, 3071]

type Lent = Pick<Context, 'signal' | 'ledger' | 'note'>

/** A case that can be looked at from all sides. */
export interface Viewed {
  readonly case: Case
  readonly masks: ComparedMasks
}

/**
 * Scan and masks of each case on one grid. A case whose scan cannot be had, or lies on another grid than the masks, is left
 * out and noted; ERR_INTERRUPTED at the run's end, ERR_OUTPUT where the masks cannot be read back. The scan is pulled once, a
 * slab at a time; memory for that and for what is cut out is claimed of the run's.
 */
export async function* viewerCases(cases: readonly Viewed[], context: Lent): AsyncGenerator<ViewerCase> {
  for (const each of cases) {
    try {
      yield await viewerCase(each, context)
    } catch (error) {
      if (!(error instanceof PipelineError) || error.code === 'ERR_INTERRUPTED' || error.code === 'ERR_OUTPUT')
        throw error
      context.note(`${each.case.id}: not in the viewer: ${error.message}`)
    }
  }
}

async function viewerCase({ case: { id, image }, masks }: Viewed, context: Lent): Promise<ViewerCase> {
  if (image === undefined) throw new PipelineError('ERR_DATASET', 'expected the file of a scan, found none')
  const scan = await openScan(image, { finite: false })
  expectSameGrid(masks.grid, scan.grid, { expected: 'the masks', found: image })
  const [nx, ny] = scan.grid.shape
  const reading = planRead(scan).pulling + 2 * runBytes * nx * ny
  const claim = await context.ledger.claim(`viewer of ${id}`, reading + 16 * mostVoxels)
  try {
    const pause = pauseOf(context)
    const box = await boxAround(masks, pause)
    const grid = coarse(croppedGrid(scan.grid, box))
    const file = (voxels: Uint8Array | Int16Array): Promise<Uint8Array> =>
      niftiBytes(image, { grid, voxels }, { level: 9 })
    return {
      case: id,
      scan: await file(await hounsfield(resample(crop(scan.volume, box), grid, 'linear'), pause)),
      prediction: await file(await covered(masks.prediction, scan.grid, grid, pause)),
      reference: await file(await covered(masks.reference, scan.grid, grid, pause)),
    }
  } finally {
    claim.release()
  }
}

/** Both masks with a margin; all of the grid where both are empty. */
async function boxAround({ grid, prediction, reference }: ComparedMasks, pause: () => Promise<void>): Promise<Box> {
  const { shape, affine } = grid
  const [nx, , nz] = shape
  const [low, high] = [[...shape], [0, 0, 0]]
  const include = (...at: Shape3): void => {
    for (const axis of [0, 1, 2]) {
      low[axis] = Math.min(low[axis]!, at[axis]!)
      high[axis] = Math.max(high[axis]!, at[axis]! + 1)
    }
  }
  for (let z = 0; z < nz; z++) {
    for (const { from, to } of [prediction.runs(z), reference.runs(z)]) {
      // A run does not go past its row.
      for (const ends of [from, to.map(end => end - 1)]) for (const at of ends) include(at % nx, Math.floor(at / nx), z)
    }
    await pause()
  }
  if (high[0] === 0) return { start: [0, 0, 0], shape }
  const margin = spacingOf(affine).map(mm => Math.ceil(marginMm / mm))
  const start = low.map((first, axis) => Math.max(0, first - margin[axis]!)) as unknown as Shape3
  const end = high.map((last, axis) => Math.min(shape[axis]!, last + margin[axis]!))
  return { start, shape: end.map((last, axis) => last - start[axis]!) as unknown as Shape3 }
}

/** The grid, or one with fewer voxels for the same place. */
function coarse(grid: Grid): Grid {
  const factor = Math.cbrt(voxelCount(grid) / mostVoxels)
  if (factor <= 1) return grid
  return spacedGrid(grid, spacingOf(grid.affine).map(mm => mm * factor) as [number, number, number])
}

/** 1 wherever a voxel of the mask, which lies on `from`, is nearest to one of `to`, or beyond its border; classes look alike. */
async function covered(mask: Mask, from: Grid, to: Grid, pause: () => Promise<void>): Promise<Uint8Array> {
  const m = indexMap(from, to)
  const [nx] = from.shape
  const [width, height, depth] = to.shape
  const all = new Uint8Array(width * height * depth)
  const nearest = (row: number, x: number, y: number, z: number, n: number): number => {
    const at = Math.round(m[row]! * x + m[row + 1]! * y + m[row + 2]! * z + m[row + 3]!)
    return at < 0 ? 0 : at >= n ? n - 1 : at
  }
  for (let z = 0; z < mask.shape[2]; z++) {
    const runs = mask.runs(z)
    for (let i = 0; i < runs.from.length; i++) {
      for (let at = runs.from[i]!; at < runs.to[i]!; at++) {
        const [x, y] = [at % nx, Math.floor(at / nx)]
        const [i, j, k] = [nearest(0, x, y, z, width), nearest(4, x, y, z, height), nearest(8, x, y, z, depth)]
        all[(k * height + j) * width + i] = 1
      }
    }
    await pause()
  }
  return all
}

/** Voxels as 16 bits; what is no number is air. */
async function hounsfield(volume: Volume, pause: () => Promise<void>): Promise<Int16Array> {
  const [nx, ny] = volume.grid.shape
  const all = new Int16Array(voxelCount(volume.grid))
  for await (const { z, voxels, release } of volume.slabs()) {
    const at = z * nx * ny
    for (let i = 0; i < voxels.length; i++) {
      const value = Number.isNaN(voxels[i]) ? least : voxels[i]!
      all[at + i] = Math.round(Math.min(Math.max(value, least), most))
    }
    release?.()
    await pause()
  }
  return all
}
