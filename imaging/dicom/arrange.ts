/** The order of a series' slices and the grid that they lie on; whatever does not make one volume is refused, with numbers. */

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Grid } from '../../pipeline/grid.ts'
import type { Point3 } from '../affine.ts'
import { unreadable } from '../stored-bytes.ts'
import type { Identity, Slice } from './slice.ts'

/** Slices in the order of the grid's planes. */
export interface Arranged {
  readonly slices: readonly Slice[]
  readonly grid: Grid
  /** For people: copies that were dropped, a tilted gantry. */
  readonly notes: readonly string[]
}

/** Distances along the normal that count as none, mm: digits of positions round to less. */
const samePlaceMm = 0.005
/** How far distances of neighbours may be from the usual one: a hundredth, or what positions are rounded to. */
const tolerance = 0.01
const toleranceMm = 0.01
/** How far a slice may be from where the grid has it, mm. */
const offGridMm = 0.1
/** Cosines and spacings that differ by less are the same. */
const sameCosine = 1e-4
const sameSpacing = 1e-4

/** ERR_VOLUME where files are of several series; names each with what it holds. */
export function expectOneSeries(identities: readonly Identity[], path: string): void {
  const groups = grouped(identities, (a, b) => a.seriesUid === b.seriesUid)
  if (groups.length < 2) return
  const listed = groups.map(([first, ...others]) => {
    const files = others.length === 0 ? basename(first!.path) : `${others.length + 1} files`
    const words = [first!.modality, JSON.stringify(first!.description), files].filter(Boolean)
    return `${first!.seriesUid || '(without a SeriesInstanceUID)'} (${words.join(', ')})`
  })
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected one series, found ${groups.length}: ${some(listed, 8)}; put each into a folder of its own`,
    { path, series: groups.map(([first]) => first!.seriesUid) },
  )
}

/**
 * Slices sorted along the normal of their orientation, and the affine map of voxel (column, row, slice) to RAS+ mm. A tilted
 * gantry moves slices against the normal: the affine is then sheared, as the scan is. ERR_VOLUME: slices that differ in size,
 * orientation, spacing or kind; that are missing; that lie at one place; that do not lie on a line.
 */
export async function arrange(unsorted: readonly Slice[], path: string): Promise<Arranged> {
  expectSame(
    unsorted,
    path,
    'extents',
    s => `${s.columns} x ${s.rows} voxels`,
    (a, b) => a.rows === b.rows && a.columns === b.columns,
  )
  expectSame(
    unsorted,
    path,
    'orientations',
    s => s.orientation.join('\\'),
    (a, b) => isNear(a.orientation, b.orientation, sameCosine),
  )
  expectSame(
    unsorted,
    path,
    'pixel spacings',
    s => `${s.pixelSpacing.join(' x ')} mm`,
    (a, b) => isNear(a.pixelSpacing, b.pixelSpacing, sameSpacing),
  )
  const normal = normalOf(unsorted[0]!.orientation)
  const at = (slice: Slice): number => dot(slice.position, normal)
  const sorted = unsorted.toSorted((a, b) => at(a) - at(b) || (a.path < b.path ? -1 : 1))
  const notes: string[] = []
  const slices = await withoutCopies(sorted, at, path, notes)
  if (slices.length > 1) expectEven(slices, slices.map(at), path)
  const step = stepOf(slices, normal, path)
  expectOnLine(slices, step, path)
  const tilt = tiltOf(step, normal)
  if (tilt > 0.05)
    notes.push(
      `${path}: the gantry was tilted by ${tilt.toFixed(2)} degrees; the voxels are taken as they lie, on a sheared grid`,
    )
  const inverted = slices.filter(({ isInverted }) => isInverted).length
  if (inverted > 0)
    notes.push(
      `${path}: ${inverted} slices are MONOCHROME1, which is about how they are shown; their HU are taken as they are`,
    )
  return { slices, grid: gridOf(slices, step), notes }
}

/** Copies of a slice are dropped where the files are equal, byte for byte; what else shares a place is refused. */
async function withoutCopies(
  sorted: readonly Slice[],
  at: (slice: Slice) => number,
  path: string,
  notes: string[],
): Promise<Slice[]> {
  const kept: Slice[] = []
  const copies: string[] = []
  const twins: [Slice, Slice][] = []
  for (const slice of sorted) {
    const before = kept.at(-1)
    if (!before || at(slice) - at(before) >= samePlaceMm) kept.push(slice)
    else if (slice.instanceUid === before.instanceUid && (await isSameFile(before, slice)))
      copies.push(basename(slice.path))
    else twins.push([before, slice])
  }
  if (twins.length > 0) {
    const [a, b] = twins[0]!
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected each slice at a place of its own, found ${twins.length} that lie upon others (${basename(a.path)} and ${basename(b.path)} both at ${a.position.join('\\')} mm) and differ from them; does the series hold several volumes? Keep one of them`,
      { path, count: twins.length },
    )
  }
  if (copies.length > 0)
    notes.push(
      `${path}: ${copies.length} slices were there twice, equal byte for byte, and were left out: ${some(copies, 3)}`,
    )
  return kept
}

async function isSameFile(a: Slice, b: Slice): Promise<boolean> {
  if (a.fingerprint.size !== b.fingerprint.size) return false
  const [one, other] = await Promise.all([bytesOf(a.path), bytesOf(b.path)])
  return one.equals(other)
}

function bytesOf(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
}

/** ERR_VOLUME where slices are missing, or where distances of neighbours differ. */
function expectEven(slices: readonly Slice[], places: readonly number[], path: string): void {
  const distances = places.slice(1).map((place, i) => place - places[i]!)
  const usual = distances.toSorted((a, b) => a - b)[Math.floor((distances.length - 1) / 2)]!
  const odd = distances
    .map((distance, i) => ({ distance, i }))
    .filter(({ distance }) => Math.abs(distance - usual) > Math.max(tolerance * usual, toleranceMm))
  if (odd.length === 0) return
  const gaps = odd.map(({ distance, i }) => {
    const ratio = distance / usual
    const missing = Math.round(ratio) - 1
    const isWhole = missing > 0 && Math.abs(ratio - missing - 1) < 0.1
    const between = `${basename(slices[i]!.path)} and ${basename(slices[i + 1]!.path)}`
    return {
      missing: isWhole ? missing : 0,
      words: `${round(distance)} mm between ${between}${isWhole ? `, ${missing} missing` : ''}`,
    }
  })
  const missing = gaps.reduce((sum, gap) => sum + gap.missing, 0)
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected slices ${round(usual)} mm apart, found ${odd.length} other distances${missing > 0 ? `, ${missing} slices missing` : ''}: ${some(
      gaps.map(({ words }) => words),
      4,
    )}; ${missing > 0 ? 'copy the series again, with all its slices' : 'resample it to even distances, or keep one part of it'}`,
    { path, usualMm: usual, missing, odd: odd.map(({ distance }) => distance) },
  )
}

/** From one slice to the next; of a slice alone its thickness along the normal. */
function stepOf(slices: readonly Slice[], normal: Point3, path: string): Point3 {
  const [first, last] = [slices[0]!, slices.at(-1)!]
  if (slices.length > 1) {
    const steps = slices.length - 1
    return [0, 1, 2].map(i => (last.position[i]! - first.position[i]!) / steps) as unknown as Point3
  }
  const { thickness } = first
  if (thickness === undefined) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected several slices, or one with a SliceThickness (0018,0050), found one without`,
      { path },
    )
  }
  return normal.map(cosine => cosine * thickness) as unknown as Point3
}

/** ERR_VOLUME where a slice is not where the step from the first to the last one has it: a patient who moved, a bent series. */
function expectOnLine(slices: readonly Slice[], step: Point3, path: string): void {
  const origin = slices[0]!.position
  const off = slices.map(({ position }, k) => Math.hypot(...position.map((p, i) => p - origin[i]! - k * step[i]!)))
  const worst = off.indexOf(Math.max(...off))
  if (off[worst]! <= offGridMm) return
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected slices on a line with equal steps, found ${basename(slices[worst]!.path)} ${round(off[worst]!)} mm beside it (allowed: ${offGridMm} mm); resample the series to a regular grid`,
    { path, offMm: off[worst] },
  )
}

/** Degrees between the step and the normal. */
function tiltOf(step: Point3, normal: Point3): number {
  return (Math.acos(Math.min(1, dot(step, normal) / Math.hypot(...step))) * 180) / Math.PI
}

/** Columns, rows, slices; LPS becomes RAS by turning x and y round. */
function gridOf(slices: readonly Slice[], step: Point3): Grid {
  const { rows, columns, orientation, pixelSpacing, position } = slices[0]!
  const [between, along] = pixelSpacing
  const row = [0, 1, 2].flatMap(axis => {
    const sign = axis === 2 ? 1 : -1
    const values = [orientation[axis]! * along, orientation[axis + 3]! * between, step[axis]!, position[axis]!]
    // No -0, which would be written into files.
    return values.map(value => sign * value + 0)
  })
  return { shape: [columns, rows, slices.length], affine: [...row, 0, 0, 0, 1] }
}

function normalOf([a, b, c, d, e, f]: readonly number[]): Point3 {
  const cross = [b! * f! - c! * e!, c! * d! - a! * f!, a! * e! - b! * d!]
  const length = Math.hypot(...cross)
  return cross.map(value => value / length) as unknown as Point3
}

function dot(a: Point3, b: Point3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

function expectSame(
  slices: readonly Slice[],
  path: string,
  what: string,
  words: (slice: Slice) => string,
  isSame: (a: Slice, b: Slice) => boolean,
): void {
  const groups = grouped(slices, isSame).toSorted((a, b) => b.length - a.length)
  if (groups.length < 2) return
  const listed = groups.map(
    group =>
      `${words(group[0]!)} in ${group.length} slices (${basename(group[0]!.path)}${group.length > 1 ? ' ...' : ''})`,
  )
  throw new PipelineError(
    'ERR_VOLUME',
    `${path}: expected slices of one series to be alike, found ${groups.length} ${what}: ${some(listed, 4)}; leave out those that do not belong to the volume, such as localizers`,
    { path },
  )
}

function grouped<T>(items: readonly T[], isSame: (a: T, b: T) => boolean): T[][] {
  const groups: T[][] = []
  for (const item of items) {
    const group = groups.find(([first]) => isSame(first!, item))
    if (group) group.push(item)
    else groups.push([item])
  }
  return groups
}

function isNear(a: readonly number[], b: readonly number[], tolerated: number): boolean {
  return a.every((value, i) => Math.abs(value - b[i]!) <= tolerated)
}

function some(words: readonly string[], most: number): string {
  const more = words.length - most
  return words.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function round(mm: number): number {
  return +mm.toPrecision(5)
}
