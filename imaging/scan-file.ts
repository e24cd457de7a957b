/** A scan on disk, whatever its format: a NIfTI file, a folder of DICOM slices, or one DICOM file. */

import { stat } from 'node:fs/promises'
import type { Grid } from '../pipeline/grid.ts'
import { isDicomFile, isNamedDicom } from './dicom/folder.ts'
import { openSeries } from './dicom/series.ts'
import { openNifti, type NiftiReadOptions } from './nifti-read.ts'
import type { LoadedVolume } from './volume.ts'

/** A scan of which only headers have been read. */
export interface ScanFile {
  readonly path: string
  readonly grid: Grid
  /** Volumes in the file; `volume` can be pulled only where this is 1. */
  readonly volumes: number
  /** Bytes of the inflated voxels as stored. */
  readonly storedBytes: number
  readonly isCompressed: boolean
  /** Unit of length as declared. */
  readonly units: string
  /** Most bytes that are at work while the volume is pulled, beside the slabs that the reader holds. */
  readonly pullingBytes: number
  readonly volume: LoadedVolume
  /** What people should know of it: what was left out, what was taken as it is. */
  readonly notes: readonly string[]
}

/**
 * Opens what `path` names: a folder is a DICOM series; a file is DICOM where it begins as one or is called so, else NIfTI.
 * Errors are those of `openSeries` and `openNifti`.
 */
export async function openScan(path: string, options: NiftiReadOptions = {}): Promise<ScanFile> {
  // What is not there or may not be read is told by the readers.
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) return openSeries(path)
  if (found?.isFile() && (isNamedDicom(path) || (await isDicomFile(path)))) return openSeries(path)
  const image = await openNifti(path, options)
  return { ...image, units: image.header.units, notes: [] }
}
