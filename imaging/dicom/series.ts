/** A DICOM series as one volume: headers of all slices at once, voxels slab by slab as they are pulled. */

import { stat } from 'node:fs/promises'
import { decode } from '../../native/voxels.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Shape3, Slab } from '../../pipeline/grid.ts'
import { croppedGrid, cropVoxels } from '../crop.ts'
import type { ScanFile } from '../scan-file.ts'
import { unreadable } from '../stored-bytes.ts'
import { SlabMemory, slabPlanes, type LoadedVolume } from '../volume.ts'
import { arrange, expectOneSeries, type Arranged } from './arrange.ts'
import { dicomFilesOf } from './folder.ts'
import { readHeader, readingOf } from './header.ts'
import { libraryBytesOf, readingBytesOf, readRows } from './pixels.ts'
import { seriesFactsOf } from './series-facts.ts'
import { frameBytes, identityOf, sliceOf, type Identity, type Slice } from './slice.ts'

/** Files being read at a time: enough to hide a slow disk, and far from a limit on open files. */
const parallel = 16

/**
 * Opens a folder of slices, or one file, which is a volume of one slice. Slices are sorted by their position along the
 * normal of their orientation, whatever their names and numbers; voxel (i, j, k) is column, row and slice, and the affine
 * is in RAS+. ERR_FILE: a file is damaged, truncated, or no DICOM; ERR_VOLUME: the slices do not make one volume of HU, or
 * are stored in a way that cannot be read. While slabs are pulled: ERR_FILE for a damaged stream or a file that has changed.
 * PixelPaddingValue is a value like any other. What is not compressed can be had by region.
 */
export async function openSeries(path: string): Promise<ScanFile> {
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const isFolder = found.isDirectory()
  const files = isFolder ? await dicomFilesOf(path) : [path]
  if (files.length === 0) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a folder of DICOM slices (.dcm, .ima, or DICOM without an ending), found none in it; name the folder that holds them`,
      { path },
    )
  }
  const read = await inParallel(files, readSlice)
  expectOneSeries(
    read.map(({ identity }) => identity),
    path,
  )
  const slices = read.map(({ slice }) => {
    if (slice instanceof PipelineError) throw slice
    return slice
  })
  const arranged = await arrange(slices, path)
  const { grid, notes } = arranged
  const isCompressed = arranged.slices.some(({ syntax }) => syntax.codec !== undefined || syntax.isDeflated)
  const volume: LoadedVolume = {
    grid,
    volumes: 1,
    series: await seriesFactsOf(arranged.slices),
    slabs: () => pull(arranged),
    ...(!isCompressed && { region: (start: Shape3, shape: Shape3) => regionOf(arranged, start, shape) }),
  }
  return {
    path,
    grid,
    volumes: 1,
    storedBytes: arranged.slices.reduce((sum, slice) => sum + frameBytes(slice), 0),
    isCompressed,
    units: 'mm',
    pullingBytes: pullingBytesOf(arranged),
    volume,
    notes,
  }
}

/** What is wrong with a slice is told after what is wrong with the folder. */
async function readSlice(path: string): Promise<{ identity: Identity; slice: Slice | PipelineError }> {
  const header = await readHeader(path)
  const identity = readingOf(path, () => identityOf(header))
  try {
    return { identity, slice: readingOf(path, () => sliceOf(header)) }
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error
    return { identity, slice: error }
  }
}

/** The slices of a slab are read side by side, some at a time. */
async function* pull({ slices, grid }: Arranged): AsyncGenerator<Slab> {
  const plane = grid.shape[0] * grid.shape[1]
  const step = slabPlanes(grid)
  const memory = new SlabMemory()
  for (let z = 0; z < slices.length; z += step) {
    const part = slices.slice(z, z + step)
    const slab = memory.slab(z, part.length, part.length * plane)
    await inParallel(part, (slice, k) =>
      decodeRows(slice, 0, slice.rows, slab.voxels.subarray(k * plane, (k + 1) * plane)),
    )
    yield slab
  }
}

async function regionOf({ slices, grid }: Arranged, start: Shape3, shape: Shape3): Promise<Float32Array> {
  croppedGrid(grid, { start, shape })
  const [nx] = grid.shape
  const plane = shape[0] * shape[1]
  const voxels = new Float32Array(plane * shape[2])
  const isWhole = shape[0] === nx
  const wide = isWhole ? undefined : new Float32Array(nx * shape[1])
  for (let z = 0; z < shape[2]; z++) {
    const to = voxels.subarray(z * plane, (z + 1) * plane)
    await decodeRows(slices[start[2] + z]!, start[1], shape[1], wide ?? to)
    if (wide) to.set(cropVoxels(wide, [nx, shape[1], 1], { start: [start[0], 0, 0], shape: [shape[0], shape[1], 1] }))
  }
  return voxels
}

async function decodeRows(slice: Slice, first: number, count: number, to: Float32Array): Promise<void> {
  const { bytes, type, littleEndian } = await readRows(slice, first, count)
  await decode(bytes, to, { type, littleEndian, slope: slice.slope, intercept: slice.intercept })
}

function pullingBytesOf({ slices, grid }: Arranged): number {
  const most = slices.reduce((bytes, slice) => Math.max(bytes, readingBytesOf(slice)), 0)
  return slabPlanes(grid) * most + Math.max(...slices.map(libraryBytesOf))
}

async function inParallel<In, Out>(items: readonly In[], work: (item: In, i: number) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!, i)
  }
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker))
  return results
}
