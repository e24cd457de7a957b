/** Chosen cases for the interactive viewer: scan, mask and reference, cut out around the lesions, as files in memory. */

import { spacingOf } from '../imaging/affine.ts'
import { crop, croppedGrid } from '../imaging/crop.ts'
import { foregroundBox, type Box } from '../imaging/foreground.ts'
import { expectSameGrid } from '../imaging/geometry-check.ts'
import { niftiBytes } from '../imaging/nifti-write.ts'
import { resample, type Interpolation } from '../imaging/resample.ts'
import { openScan, type ScanFile } from '../imaging/scan-file.ts'
import { spacedGrid } from '../imaging/spacing.ts'
import { planRead } from '../imaging/volume-plan.ts'
import { voxelCount } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Case, Context, Grid, Shape3, Volume } from '../pipeline/stage.ts'
import type { ViewerCase } from '../report/page/page.ts'
import { pauseOf } from './pause.ts'

/** Around the lesions, mm. */
const marginMm = 15

/**
 * Voxels of a case, at most: 3 to 4 MB of scan, deflated. What is larger is made coarser by one factor along each axis, so
 * that all of the lesions stay in it.
 */
const mostVoxels = 2_000_000

/** Of the scan, HU: 16 bits are enough. */
const [least, most] = [-1024, 3071]

type Lent = Pick<Context, 'signal' | 'ledger' | 'note'>

/**
 * Cases with the files `image`, `label` and `prediction`, all on one grid. A case that lacks one of them, or whose files
 * cannot be read, is left out and noted; only the run's end stops it, with ERR_INTERRUPTED. Each file is pulled once or twice,
 * a slab at a time; memory for that and for what is cut out is claimed of the run's.
 */
export async function* viewerCases(cases: readonly Case[], context: Lent): AsyncGenerator<ViewerCase> {
  for (const each of cases) {
    try {
      yield await viewerCase(each, context)
    } catch (error) {
      if (!(error instanceof PipelineError) || error.code === 'ERR_INTERRUPTED') throw error
      context.note(`${each.id}: not in the viewer: ${error.message}`)
    }
  }
}

async function viewerCase({ id, image, label, prediction }: Case, context: Lent): Promise<ViewerCase> {
  if (image === undefined || label === undefined || prediction === undefined) {
    const lacking = Object.entries({ image, label, prediction }).flatMap(([key, path]) =>
      path === undefined ? key : [],
    )
    throw new PipelineError(
      'ERR_DATASET',
      `expected files of scan, reference and mask, found no ${lacking.join(' and no ')}; masks of a model are there where "save" writes them`,
      { lacking },
    )
  }
  const scan = await openScan(image, { finite: false })
  const [reference, mask] = [await openScan(label), await openScan(prediction)]
  for (const other of [reference, mask]) {
    expectSameGrid(scan.grid, other.grid, { expected: image, found: other.path })
  }
  const reading = Math.max(...[scan, reference, mask].map(file => planRead(file).pulling))
  const claim = await context.ledger.claim(`viewer of ${id}`, reading + 16 * mostVoxels)
  try {
    const box = await boxAround([reference, mask], context)
    const grid = coarse(croppedGrid(scan.grid, box))
    const file = async (from: ScanFile, interpolation: Interpolation): Promise<Uint8Array> => {
      const voxels = await stored(resample(crop(from.volume, box), grid, interpolation), interpolation, context)
      return niftiBytes(from.path, { grid, voxels }, { level: 9 })
    }
    return {
      case: id,
      scan: await file(scan, 'linear'),
      prediction: await file(mask, 'nearest'),
      reference: await file(reference, 'nearest'),
    }
  } finally {
    claim.release()
  }
}

/** Both masks with a margin; all of the grid where both are empty. */
async function boxAround(files: readonly ScanFile[], context: Lent): Promise<Box> {
  const pause = pauseOf(context)
  const { shape, affine } = files[0]!.grid
  const spacing = spacingOf(affine)
  const [low, high] = [[...shape], [0, 0, 0]]
  for (const { volume } of files) {
    await pause()
    const box = await foregroundBox(volume).catch((error: unknown) => {
      // An empty mask is no error here.
      if (error instanceof PipelineError && 'threshold' in error.facts) return undefined
      throw error
    })
    for (const axis of [0, 1, 2]) {
      if (!box) continue
      low[axis] = Math.min(low[axis]!, box.start[axis]!)
      high[axis] = Math.max(high[axis]!, box.start[axis]! + box.shape[axis]!)
    }
  }
  if (high[0] === 0) return { start: [0, 0, 0], shape }
  const margin = spacing.map(mm => Math.ceil(marginMm / mm))
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

/** Voxels as a file has them: classes as bytes, HU as 16 bits. */
async function stored(volume: Volume, interpolation: Interpolation, context: Lent): Promise<Uint8Array | Int16Array> {
  const pause = pauseOf(context)
  const [nx, ny] = volume.grid.shape
  const count = voxelCount(volume.grid)
  const all = interpolation === 'nearest' ? new Uint8Array(count) : new Int16Array(count)
  for await (const { z, voxels, release } of volume.slabs()) {
    const at = z * nx * ny
    // What is no number is air; all classes look the same in the viewer.
    for (let i = 0; i < voxels.length; i++) {
      const value = Number.isNaN(voxels[i]) ? least : voxels[i]!
      all[at + i] = interpolation === 'nearest' ? Number(value > 0) : Math.round(Math.min(Math.max(value, least), most))
    }
    release?.()
    await pause()
  }
  return all
}
