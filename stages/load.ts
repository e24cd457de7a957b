/** Opens a case's files: headers are read and compared, voxels only when somebody pulls. */

import type { FromSchema } from 'json-schema-to-ts'
import { spacingOf } from '../imaging/affine.ts'
import { defaultToleranceMm, expectSameGrid, gridDifference } from '../imaging/geometry-check.ts'
import { openScan, type ScanFile } from '../imaging/scan-file.ts'
import { planRead } from '../imaging/volume-plan.ts'
import { lazyVolume, slabPlanes, type LoadedVolume } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Case, Key, Sample } from '../pipeline/flow.ts'
import type { Grid, Shape3 } from '../pipeline/grid.ts'
import type { Plan, VolumePlan } from '../pipeline/planned.ts'
import type { Stage } from '../pipeline/stage.ts'
import { perItemAsync } from './lift.ts'
import { pullingBytes } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Opens the files of a case (NIfTI: .nii, .nii.gz, .hdr/.img; DICOM: a folder of slices) and checks that they share one grid.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'load' },
    keys: {
      type: 'array',
      items: { enum: ['image', 'label', 'prediction', 'lungs'] },
      uniqueItems: true,
      minItems: 1,
      description:
        'which of the files of a case; those it has, if left out. A key that is named must be there. The grids of a prediction and of a mask of the lungs are compared where they are used, by dice and by save',
    },
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'cases being opened at a time' },
    geometryToleranceMm: {
      type: 'number',
      minimum: 0,
      default: defaultToleranceMm,
      description: 'how far corners of image and label may be apart, mm',
    },
  },
  examples: [{ kind: 'load' }, { kind: 'load', keys: ['image'], parallel: 4, geometryToleranceMm: 0.1 }],
} as const

const allKeys: readonly Key[] = ['image', 'label', 'prediction', 'lungs']

export type LoadOptions = FromSchema<typeof schema>

/** A case's files of which only the headers have been read. */
export type OpenedFiles = readonly (readonly [Key, ScanFile])[]

export const load: Stage<LoadOptions> = {
  schema,
  takes: ['case'],
  gives: 'volume',
  create: (options, context) =>
    perItemAsync<Sample, Sample>('load', options.parallel, async sample => {
      const files = await openFiles(options, sample.case)
      for (const [, { notes }] of files) notes.forEach(context.note)
      const volumes: { readonly [K in Key]?: LoadedVolume } = Object.fromEntries(
        files.map(([key, { volume }]) => [key, volume]),
      )
      return { ...sample, ...volumes, ...(volumes.image && { scan: volumes.image }), steps: [] }
    }),
}

/** Opens the files that the options ask for, and compares their grids. */
export async function openFiles(options: LoadOptions, scan: Case): Promise<OpenedFiles> {
  if (scan.problem !== undefined) throw new PipelineError('ERR_DATASET', scan.problem)
  const isEmpty = (key: Key): boolean => key === 'prediction' && scan.isMissing === true
  const keys = options.keys ?? allKeys.filter(key => scan[key] !== undefined || isEmpty(key))
  const opened = await Promise.all(
    keys.filter(key => !isEmpty(key)).map(async key => [key, await openKey(scan, key)] as const),
  )
  checkGrids(opened, options.geometryToleranceMm)
  const empty = keys.find(isEmpty)
  if (empty === undefined) return opened
  const beside = gridOrder.map(key => opened.find(([name]) => name === key)).find(found => found !== undefined)
  return [...opened, [empty, beside ? emptyFile(scan, beside[1].grid) : await openKey(scan, empty)]]
}

/** A mask that is not there lies where its reference does, or the scan. */
const gridOrder: readonly Key[] = ['label', 'image', 'lungs']

/** In place of a mask that is not there: nothing at all, on the grid of its reference. */
function emptyFile({ id, prediction }: Case, grid: Grid): ScanFile {
  const path = prediction ?? id
  return {
    path,
    grid,
    volumes: 1,
    storedBytes: 0,
    isCompressed: false,
    units: 'mm',
    pullingBytes: 0,
    volume: lazyVolume(grid, async function* () {
      const plane = grid.shape[0] * grid.shape[1]
      const voxels = new Float32Array(slabPlanes(grid) * plane)
      for (let z = 0; z < grid.shape[2]; z += slabPlanes(grid)) {
        const planes = Math.min(slabPlanes(grid), grid.shape[2] - z)
        // Without a release: nobody writes to them.
        yield { z, planes, voxels: voxels.subarray(0, planes * plane) }
      }
    }),
    notes: [`${path}: there is no such mask; the case counts as missed`],
  }
}

/** What a header says, for people who look for what may be wrong with a data set. */
export interface FileFacts {
  readonly key: Key
  readonly path: string
  readonly shape: Shape3
  readonly spacingMm: readonly [number, number, number]
  /** Inflated bytes of its voxels. */
  readonly storedBytes: number
  readonly isCompressed: boolean
  /** Unit of length as declared. */
  readonly units: string
  /** How far its corners are from those of the case's first file, mm. */
  readonly apartMm: number
}

export function fileFacts(files: OpenedFiles): FileFacts[] {
  return files.map(([key, { path, grid, units, storedBytes, isCompressed }]) => ({
    key,
    path,
    shape: grid.shape,
    spacingMm: spacingOf(grid.affine),
    storedBytes,
    isCompressed,
    units,
    apartMm: gridDifference(files[0]![1].grid, grid).farthestMm,
  }))
}

/** What `load` gives: the first plan of a case, before which nothing is known of it. */
export function planLoaded(files: OpenedFiles): Plan {
  const volumes = Object.fromEntries(files.map(([key, image]): [Key, VolumePlan] => [key, planRead(image)]))
  return { flow: 'volume', volumes, steps: [], items: 1, resident: 0, bytes: pullingBytes(volumes) }
}

async function openKey(scan: Case, key: Key): Promise<ScanFile> {
  const path = scan[key]
  if (path === undefined) {
    throw new PipelineError(
      'ERR_DATASET',
      `expected a file for "${key}", found none listed for this case; list it, or take "${key}" out of the keys of "load"`,
      { key },
    )
  }
  // What a label may hold is for map-label to say, NaN included.
  const image = await openScan(path, { finite: key === 'image' })
  if (image.volumes !== 1) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected one 3-D volume, found ${image.volumes} in one file; split it, one file a case`,
      { path, volumes: image.volumes },
    )
  }
  return image
}

function checkGrids(images: OpenedFiles, toleranceMm: number): void {
  // Lungs may have axes of another order: `save`, which looks at them, turns them to the mask's and compares there. A
  // prediction may be resampled: `dice` compares.
  const [first, ...others] = images.filter(([key]) => key === 'image' || key === 'label').map(([, image]) => image)
  for (const image of others)
    expectSameGrid(first!.grid, image.grid, { expected: first!.path, found: image.path }, toleranceMm)
}
