/** Writes masks with what is found in them: all files of a case or none. */

import { join } from 'node:path'
import type { FromSchema } from 'json-schema-to-ts'
import { spacingOf } from '../imaging/affine.ts'
import { marksBytes } from '../imaging/component-marks.ts'
import { mostRuns, sweepBytes } from '../imaging/components.ts'
import { lesionSegment, segmentationPieces, type SegmentationOptions } from '../imaging/dicom/segmentation.ts'
import { expectSameGrid } from '../imaging/geometry-check.ts'
import { lungSides, type LungValues } from '../imaging/lungs.ts'
import { maskBytes } from '../imaging/mask.ts'
import { writeNifti } from '../imaging/nifti-write.ts'
import { axcodesOf, orient } from '../imaging/orient.ts'
import { readingBytes } from '../imaging/stored-bytes.ts'
import { slabBytes, type LoadedVolume } from '../imaging/volume.ts'
import { planOrient } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { notice } from '../pipeline/notice.ts'
import type { Mask, Prediction } from '../pipeline/flow.ts'
import type { Grid } from '../pipeline/grid.ts'
import type { Plan } from '../pipeline/planned.ts'
import type { Context, Stage } from '../pipeline/stage.ts'
import { version } from '../pipeline/version.ts'
import { describeLesions, largestOf, lesionsOf, type ClassLesions } from '../report/lesions.ts'
import { describeLungs, lesionsByLung } from '../report/lung-lesions.ts'
import { middleOf, preview, previewBytes } from '../report/preview.ts'
import { writeTogether } from './case-files.ts'
import { perItemAsync } from './lift.ts'
import { expectOwnFolder } from './output-folders.ts'
import { pauseOf } from './pause.ts'
import { withBytes } from './plans.ts'

const lungValues = {
  type: 'array',
  items: { type: 'integer', minimum: 1, maximum: 255 },
  minItems: 1,
  uniqueItems: true,
} as const

const schema = {
  type: 'object',
  description:
    "Writes each mask as <output>/<folder>/<case>.nii.gz, on the prediction's grid, and beside it a .json with volumes, lesions and their sides, on request a .png and a .dcm.",
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'save' },
    folder: {
      type: 'string',
      pattern: '^[A-Za-z0-9_-][A-Za-z0-9._ -]*$',
      default: 'masks',
      description: 'the name of a folder below the output folder',
    },
    lungs: {
      type: 'object',
      additionalProperties: false,
      required: ['right', 'left'],
      properties: {
        right: { ...lungValues, description: "of the patient's right lung" },
        left: { ...lungValues, description: "of the patient's left lung" },
      },
      description:
        "what the values of the case's mask of the lungs mean. Left out: 1 is right and 2 is left, as lungmask writes them; a mask with one value only holds both lungs and is split",
    },
    preview: {
      type: ['boolean', 'object'],
      additionalProperties: false,
      properties: {
        window: {
          type: 'array',
          items: { type: 'number' },
          minItems: 2,
          maxItems: 2,
          default: [-1350, 150],
          description: 'the values that become black and white, HU',
        },
      },
      default: false,
      description:
        'also a .png: axial, coronal and sagittal plane through the largest lesion, outlined; true, or what it is to look like',
    },
    dicomSeg: {
      type: 'boolean',
      default: false,
      description: 'also a .dcm for scans that are a DICOM series: the mask as a DICOM Segmentation object',
    },
    parallel: { type: 'integer', minimum: 1, maximum: 16, default: 1, description: 'masks being written at a time' },
  },
  examples: [
    { kind: 'save' },
    { kind: 'save', preview: true },
    { kind: 'save', lungs: { right: [2], left: [1] }, preview: { window: [-160, 240] } },
  ],
} as const

type Options = FromSchema<typeof schema>

export const save: Stage<Options> = {
  schema,
  takes: ['prediction'],
  gives: 'prediction',
  create(options, context, { stages }) {
    expectOwnFolder(options, stages)
    const window = windowOf(options)
    if (window && !(window[0] < window[1])) {
      throw new PipelineError(
        'ERR_DEFINITION',
        `save: expected a "window" from a lower to a higher value, found ${window.join(' to ')}`,
        { window },
      )
    }
    const { right = [], left = [] } = options.lungs ?? {}
    const twice = right.filter(value => left.includes(value))
    if (twice.length > 0) {
      throw new PipelineError(
        'ERR_DEFINITION',
        `save: expected values of one lung only, found ${twice.join(', ')} in both`,
      )
    }
    const told = new Set<string>()
    const once = (note: string): undefined => {
      if (!told.has(note)) context.note(note)
      told.add(note)
    }
    return perItemAsync<Prediction, Prediction>('save', options.parallel, async prediction => {
      const pause = pauseOf(context)
      // Whatever can be wrong with a case shows here, before anything is written.
      const lesions = await lesionsOf(prediction.mask, prediction.classes, pause)
      const lungs = await lungsOf(prediction, options.lungs as LungValues | undefined, context, pause)
      const picture = window && (prediction.scan ? await pictureOf(prediction, lesions, window, pause) : once(noScan))
      const series = options.dicomSeg
        ? ((prediction.scan as LoadedVolume | undefined)?.series ?? once(noSeries))
        : undefined
      const stem = join(options.folder, prediction.case.id)
      const written = await writeTogether(context, stem, async add => {
        await add('.nii.gz', (into, path) => writeMask(path, into, prediction))
        if (picture) await add('.png', [picture])
        if (series) await add('.dcm', segmentationPieces(series, prediction.mask, segmentationOf(prediction, context)))
        // Last: where it is, all others are.
        await add('.json', `${JSON.stringify(sideFile(prediction, lesions, lungs, context), null, 2)}\n`)
      })
      return { ...prediction, files: [...prediction.files, ...written] }
    })
  },
  plan: planSaved,
}

const noScan = 'save: no previews: masks that do not lie on the grid of their scan have no picture under them'
const noSeries =
  'save: no DICOM segmentations of scans that are no DICOM series, nor of masks that do not lie on their grid'

function windowOf({ preview }: Options): readonly [number, number] | undefined {
  if (preview === false) return undefined
  return (preview === true ? schema.properties.preview.properties.window.default : preview.window) as [number, number]
}

async function writeMask(path: string, into: string, { grid, mask, header }: Prediction): Promise<void> {
  await writeNifti(path, { grid, voxels: planesOf(mask), ...(header && { geometryFrom: header }) }, { into })
}

/** Good until the next. */
async function* planesOf(mask: Mask): AsyncGenerator<Uint8Array> {
  const plane = new Uint8Array(mask.shape[0] * mask.shape[1])
  for (let z = 0; z < mask.shape[2]; z++) yield mask.plane(z, plane)
}

/** What lies in which lung, for the side file; `undefined` without a mask of the lungs. */
async function lungsOf(
  { case: { lungs: path }, grid, mask, lungs }: Prediction,
  values: LungValues | undefined,
  { scratch }: Context,
  pause: () => Promise<void>,
): Promise<object | undefined> {
  if (!lungs) return undefined
  const name = path ?? 'the mask of the lungs'
  // Other programs write their masks with axes of their own order.
  const turned = orient(lungs, axcodesOf(grid.affine)).volume
  expectSameGrid(grid, turned.grid, { expected: 'the predicted mask', found: name })
  const sides = await lungSides(turned, { values, name, scratch, pause })
  try {
    return describeLungs(await lesionsByLung(mask, sides, pause), grid.affine)
  } finally {
    sides.close()
  }
}

async function pictureOf(
  { scan, mask, grid }: Prediction,
  lesions: readonly ClassLesions[],
  window: readonly [number, number],
  pause: () => Promise<void>,
): Promise<Uint8Array> {
  return preview(scan!, mask, largestOf(lesions)?.centre ?? middleOf(grid), { window }, pause)
}

/** Every class of the network is a lesion. */
function segmentationOf({ classes }: Prediction, { model }: Context): SegmentationOptions {
  const labelOf = (value: number): string => (classes > 2 ? `Lesion, class ${value}` : 'Lesion')
  const segments = Array.from({ length: classes - 1 }, (_, i) => lesionSegment(i + 1, labelOf(i + 1)))
  return { segments, algorithm: 'ctflow', version: version(), ...(model !== undefined && { model }) }
}

function sideFile(
  { case: { id, image }, grid: { shape, affine }, windows, seconds }: Prediction,
  lesions: readonly ClassLesions[],
  lungs: object | undefined,
  { model }: Context,
): object {
  return {
    case: id,
    image,
    shape,
    affine,
    spacing: spacingOf(affine),
    ...describeLesions(lesions, affine),
    ...(lungs && { lungs }),
    windows,
    seconds,
    model: model ?? null,
    ctflow: version(),
    notice,
  }
}

/** One after the other: lesions, lungs, preview, and the mask being deflated; none grows with the number of planes but pictures. */
function planSaved(options: Options, plan: Plan, { classes }: { readonly classes: number }): Plan {
  const { grid } = plan.volumes.prediction!
  const { lungs } = plan.volumes
  const picture = windowOf(options) ? previewBytes(grid) : 0
  const planes = 3 * grid.shape[0] * grid.shape[1]
  const work = Math.max(
    sweepBytes(grid.shape, mostRuns(grid.shape, classes)) + planes,
    // The mask as it is stored and as sides; marks where it has to be split.
    lungs
      ? planOrient(lungs, axcodesOf(grid.affine)).pulling +
          2 * maskBytes(grid.shape) +
          marksBytes(grid.shape, mostRuns(grid.shape, 2)) +
          planes
      : 0,
    picture > 0 ? scanBytes(grid) + planes : 0,
    // Blocks of a mebibyte before and after the deflater, a few of each on their way.
    8 << 20,
  )
  return withBytes(plan, picture + work)
}

/** Bytes at work while the scan is pulled once more, whatever it is stored as: of the largest voxels, compressed. */
function scanBytes(grid: Grid): number {
  const slab = slabBytes(grid)
  return readingBytes({ isCompressed: true }, 2 * slab) + 2 * slab
}
