/** Pictures of chosen cases for a report: planes of the scan, with mask and reference outlined. */

import { apply, indexMap, spacingOf } from '../imaging/affine.ts'
import { resample } from '../imaging/resample.ts'
import { defaultToleranceMm, gridDifference } from '../imaging/geometry-check.ts'
import { openScan, type ScanFile } from '../imaging/scan-file.ts'
import { planRead, planResample } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Claim } from '../pipeline/claims.ts'
import type { Case, KeptSlices, KeySlices, PlaneRuns } from '../pipeline/flow.ts'
import type { Grid, Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import type { Picture } from '../report/page/page.ts'
import { slicePicture } from '../report/slice-picture.ts'
import { pauseOf } from './pause.ts'

/** A case that people should see, and why. */
export interface Chosen {
  readonly case: Case
  readonly why: Picture['why']
  readonly slices: KeptSlices
  /** What is said below its pictures, before what the pictures say of themselves. */
  readonly caption: string
}

type Lent = Pick<Context, 'signal' | 'ledger' | 'note'>

/** Planes of a case that are drawn, at most: those with most voxels of either mask. */
const mostPlanes = 3

type KeyPlane = KeySlices['planes'][number]

const nothing: PlaneRuns = { from: new Uint32Array(0), to: new Uint32Array(0), value: new Uint8Array(0) }

/**
 * Pictures of each case, plane by plane, as they are made; the middle plane where neither mask has a voxel. Holds the planes
 * of one case and what reading its scan takes, which is claimed of the run's memory; the scan is read as far as its last plane
 * and no further. A scan on another grid is resampled; one that cannot be read, or does not hold the masks, is left out of the picture, which says so;
 * ERR_VOLUME where not even the planes of the masks fit into the memory, ERR_INTERRUPTED at the run's end.
 */
export async function* picturesOf(chosen: readonly Chosen[], context: Lent): AsyncGenerator<Picture> {
  for (const each of chosen) {
    const { claim, ...scan } = await claimed(each, context)
    try {
      yield* picturesOfCase(each, scan, context)
    } finally {
      claim.release()
    }
  }
}

async function* picturesOfCase(each: Chosen, scan: Scan, context: Lent): AsyncGenerator<Picture> {
  const slices = await each.slices.read()
  const { grid } = slices
  const planes = planesOf(slices)
  const { found, without } = await scanPlanes(each.case, slices.grid, planes, scan, context)
  const caption = `${each.caption} ${planeNames(planes, grid)}${without === undefined ? '' : `, without the scan: ${without}`}.`
  for (const plane of planes) {
    const scan = found.get(plane.z)
    const { view, ...picture } = slicePicture({ ...plane, grid, ...(scan ? { plane: scan } : {}) })
    const alt = `${view} plane ${plane.z + 1} of ${grid.shape[2]} of ${each.case.id}${scan ? '' : ', outlines only'}: reference ${areaText(plane.reference, grid)}, mask ${areaText(plane.prediction, grid)}`
    yield {
      case: each.case.id,
      why: each.why,
      ...picture,
      alt: alt[0]!.toUpperCase() + alt.slice(1),
      caption: caption.trim(),
    }
  }
}

function planesOf({ planes, grid }: KeySlices): readonly KeyPlane[] {
  if (planes.length === 0) return [{ z: Math.floor(grid.shape[2] / 2), reference: nothing, prediction: nothing }]
  const size = ({ reference, prediction }: KeyPlane): number => voxelsOf(reference) + voxelsOf(prediction)
  return planes
    .toSorted((a, b) => size(b) - size(a) || a.z - b.z)
    .slice(0, mostPlanes)
    .toSorted((a, b) => a.z - b.z)
}

function voxelsOf({ from, to }: PlaneRuns): number {
  return from.reduce((sum, first, i) => sum + to[i]! - first, 0)
}

function areaText(runs: PlaneRuns, grid: Grid): string {
  const [dx, dy] = spacingOf(grid.affine)
  const voxels = voxelsOf(runs)
  return voxels === 0 ? 'nothing' : `${((voxels * dx * dy) / 100).toFixed(1)} cm²`
}

/** "Planes 3, 12 and 17 of 60": people count from 1. */
function planeNames(planes: readonly KeyPlane[], grid: Grid): string {
  const numbers = planes.map(({ z }) => String(z + 1))
  const last = numbers.pop()!
  return `${numbers.length === 0 ? 'Plane' : `Planes ${numbers.join(', ')} and`} ${last} of ${grid.shape[2]}`
}

/** The scan of a case, of which only headers have been read; or why it cannot be had. */
type Scan = { readonly file: ScanFile } | { readonly without: string }

/** The scan, and a claim for a case's planes of it and of the masks: one for both, so that nobody who holds one waits. */
async function claimed(each: Chosen, context: Lent): Promise<Scan & { readonly claim: Claim }> {
  const {
    case: { id, image },
    slices,
  } = each
  const claim = (bytes: number): Promise<Claim> => context.ledger.claim(`pictures of ${id}`, slices.bytes + bytes)
  if (image === undefined) return { without: 'the data set lists none', claim: await claim(0) }
  try {
    const file = await openScan(image, { finite: false })
    const [nx, ny] = slices.grid.shape
    const read = planRead(file)
    const { pulling } = isSameGrid(slices.grid, file.grid) ? read : planResample(read, slices.grid, 'linear')
    return { file, claim: await claim(pulling + 4 * nx * ny * mostPlanes) }
  } catch (error) {
    return { without: excused(each.case, error, context), claim: await claim(0) }
  }
}

/** The scan's planes (y, x) by z; none, and why, where they cannot be had. */
async function scanPlanes(
  found: Case,
  grid: Grid,
  planes: readonly KeyPlane[],
  scan: Scan,
  context: Lent,
): Promise<{ found: ReadonlyMap<number, Float32Array>; without?: string }> {
  if ('without' in scan) return { found: new Map(), without: scan.without }
  try {
    const volume = scanOn(grid, scan.file)
    const wanted = planes.map(({ z }) => z)
    return { found: await readPlanes(volume, wanted, pauseOf(context)) }
  } catch (error) {
    return { found: new Map(), without: excused(found, error, context) }
  }
}

/** Why the scan is not shown, in a few words; rejects with what must end the run, and with what is a bug. */
function excused({ id }: Case, error: unknown, { note }: Lent): string {
  if (!(error instanceof PipelineError) || error.code === 'ERR_INTERRUPTED') throw error
  note(`${id}: its pictures are without the scan: ${error.message}`)
  return reasons[error.code] ?? 'it could not be read'
}

/** Why a scan is not shown, in a few words; the whole message is noted. */
const reasons: { readonly [Code in PipelineError['code']]?: string } = {
  ERR_GEOMETRY: 'it lies elsewhere than the mask',
  ERR_VOLUME: 'its voxels make no sense, or it is too large for the memory',
}

function isSameGrid(a: Grid, b: Grid): boolean {
  const { isSameShape, farthestMm } = gridDifference(a, b)
  return isSameShape && farthestMm <= defaultToleranceMm
}

/**
 * The scan on the masks' grid: as it is, or resampled as the stages before the network did. Throws ERR_GEOMETRY where the
 * middle of the masks is not in the scan: theirs is another one.
 */
function scanOn(grid: Grid, { path, volumes, volume }: ScanFile): Volume {
  if (volumes !== 1) {
    throw new PipelineError('ERR_VOLUME', `${path}: expected one volume, found ${volumes}`, { path, volumes })
  }
  if (isSameGrid(grid, volume.grid)) return volume
  const [x, y, z] = grid.shape.map(n => (n - 1) / 2) as [number, number, number]
  const middle = apply(indexMap(grid, volume.grid), x, y, z)
  if (middle.every((at, axis) => at >= -0.5 && at <= volume.grid.shape[axis]! - 0.5))
    return resample(volume, grid, 'linear')
  throw new PipelineError(
    'ERR_GEOMETRY',
    `${path}: expected the scan of the masks, found that the middle of their grid lies outside of it, at its voxel (${middle.map(at => at.toFixed(1)).join(', ')}) of ${volume.grid.shape.join(' x ')}`,
    { path, expected: grid.shape, found: volume.grid.shape },
  )
}

async function readPlanes(
  volume: Volume,
  wanted: readonly number[],
  pause: () => Promise<void>,
): Promise<ReadonlyMap<number, Float32Array>> {
  const [nx, ny] = volume.grid.shape
  const found = new Map<number, Float32Array>()
  if (volume.region) {
    for (const z of wanted) {
      await pause()
      found.set(z, await volume.region([0, 0, z], [nx, ny, 1]))
    }
    return found
  }
  const last = Math.max(...wanted)
  for await (const { z, planes, voxels, release } of volume.slabs()) {
    for (const at of wanted) {
      if (at >= z && at < z + planes) found.set(at, voxels.slice((at - z) * nx * ny, (at - z + 1) * nx * ny))
    }
    release?.()
    await pause()
    if (z + planes > last) break
  }
  return found
}
