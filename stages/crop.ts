/** Random crops around lesion and background voxels, several per case. */

import type { FromSchema } from 'json-schema-to-ts'
import { annexOf } from '../cache/annex-file.ts'
import { croppedGrid, cropVoxels } from '../imaging/crop.ts'
import { candidateIndexBytes, indexCandidates, openCandidates, type Candidates } from '../imaging/candidate-index.ts'
import {
  correctedCentre,
  cropStart,
  drawPicks,
  expectRoom,
  type CentreDraws,
  type Pick,
} from '../imaging/sample-centres.ts'
import { materialise, residentVolume } from '../imaging/volume.ts'
import { materialisedBytes } from '../imaging/volume-plan.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { NumpyRandom } from '../pipeline/numpy-random.ts'
import { rng } from '../pipeline/random.ts'
import type { Claim } from '../pipeline/claims.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Grid, Shape3, Volume } from '../pipeline/grid.ts'
import type { Context, Stage } from '../pipeline/stage.ts'
import { size } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { withDraw } from './keys.ts'
import { inSequence, perItem, perItemAsync, perItemMany } from './lift.ts'
import { withBytes } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Cuts patches whose centres lie on lesion with probability positive / (positive + negative), else on background.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'crop' },
    size: { ...size, default: [224, 224, 32], description: 'voxels of a patch along x, y, z' },
    samples: { type: 'integer', minimum: 1, maximum: 256, default: 2, description: 'patches from each case and epoch' },
    positive: { type: 'number', minimum: 0, default: 1, description: 'weight of centres on lesion' },
    negative: { type: 'number', minimum: 0, default: 1, description: 'weight of centres on background' },
    imageThreshold: {
      type: 'number',
      default: 0,
      description: 'background is where the image, after clip, is above this',
    },
    parallel: {
      type: 'integer',
      minimum: 1,
      maximum: 16,
      default: 1,
      description: 'volumes being read at a time, where no cache has them',
    },
  },
  examples: [{ kind: 'crop', size: [224, 224, 32], samples: 2 }],
} as const

/** What was drawn for a patch. */
export interface CropDraw {
  readonly centre: Shape3
  readonly start: Shape3
}

/** A case whose candidates are known. */
interface Prepared extends Sample {
  readonly image: Volume
  readonly label: Volume
  readonly claim: Claim
  readonly candidates: Candidates
}

/** The same, with the candidates that were drawn. */
interface Drawn extends Prepared {
  readonly picks: readonly Pick[]
}

/** A case's patches, on their way to be patches of the flow. */
interface Cut extends Sample {
  readonly patches: readonly Sample[]
}

export const crop: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'patch',
  random: true,
  create(options, context) {
    const size = options.size as unknown as Shape3
    const { positive: pos, negative: neg, samples, parallel } = options
    if (pos + neg === 0)
      throw new PipelineError('ERR_DEFINITION', 'crop: positive and negative are both 0; expected one of them above')
    // MONAI's rule: a float32 image against a float32 threshold.
    const threshold = Math.fround(options.imageThreshold)
    const drawsFor = generator(context)
    const prepare = perItemAsync<Sample, Prepared>('crop', parallel, sample =>
      admitted(sample, context, admittedSample => prepared(admittedSample, threshold, context.engine().info.classes)),
    )
    // Volumes come side by side, in their order; only here, one after the other, is anything drawn.
    const draw = perItem<Prepared, Drawn>('crop', sample => {
      const shape = sample.image.grid.shape
      return { ...sample, picks: drawPicks(sample.candidates, shape, { size, samples, pos, neg }, drawsFor(sample)) }
    })
    const take = perItemAsync<Drawn, Cut>('crop', parallel, sample => cutPatches(sample, size))
    const each = perItemMany<Cut, Sample>('crop', ({ patches }) => [...patches])
    return inSequence(prepare, draw, take, each)
  },
  plan(options, plan) {
    const { image, label } = plan.volumes
    if (!image || !label) throw needsBoth()
    if (image.isExact && label.isExact) expectOneGrid(image.grid, label.grid)
    const size = options.size as unknown as Shape3
    expectRoom(image.grid.shape, size)
    const index = candidateIndexBytes(image.grid.shape)
    // Where boxes cannot be read both volumes are first pulled into memory; the index is made from what is there.
    const copies = [image, label].map(volume => (volume.access === 'slabs' ? materialisedBytes(volume) : 0))
    const [imageCopy, labelCopy] = copies as [number, number]
    const indexed = (imageCopy ? 0 : image.pulling) + (labelCopy ? 0 : label.pulling) + index
    const pulled = (imageCopy ? image.pulling : 0) + (labelCopy ? label.pulling : 0)
    const { bytes } = withBytes(plan, imageCopy + labelCopy + Math.max(pulled, indexed))
    // What a cache keeps, it keeps with the index.
    const resident = plan.resident > 0 ? plan.resident + index : 0
    return { flow: 'patch', volumes: {}, steps: [], items: options.samples, patch: size, resident, bytes }
  },
  standing(options, standing) {
    const patch = options.size as unknown as Shape3
    // Image and label, float32: of the cases that are being cut, and of the one whose patches are leaving.
    const cut = (options.parallel + 1) * options.samples * voxelsOf(patch) * 8
    return { ...standing, patch, patchesPerCase: options.samples, bytes: standing.bytes + cut }
  },
}

function voxelsOf([x, y, z]: Shape3): number {
  return x * y * z
}

function needsBoth(): PipelineError {
  return new PipelineError(
    'ERR_DATASET',
    'expected an image and a label to crop from, found only one of them; training cases need both',
  )
}

function expectOneGrid({ shape }: Grid, { shape: other }: Grid): void {
  if (shape.every((n, axis) => n === other[axis])) return
  throw new PipelineError(
    'ERR_GEOMETRY',
    `expected image and label on one grid to crop from, found ${shape.join(' x ')} and ${other.join(' x ')} voxels; let "resample" have both keys`,
  )
}

async function prepared(
  sample: Sample & { readonly claim: Claim },
  threshold: number,
  classes: number,
): Promise<Prepared> {
  if (!sample.image || !sample.label) throw needsBoth()
  const [image, label] = await Promise.all([sample.image, sample.label].map(addressable))
  const { shape } = image!.grid
  expectOneGrid(image!.grid, label!.grid)
  const make = (): Promise<Uint8Array> => indexCandidates(label!, image!, { threshold, classes })
  const name = `candidates above ${threshold} of ${classes} classes`
  const annex = sample.annex ? await sample.annex(name, make) : annexOf(await make())
  return { ...sample, image: image!, label: label!, candidates: await openCandidates(annex, shape) }
}

/** Cuts the patches around the candidates that were drawn. After this nobody needs the case's volumes. */
async function cutPatches({ image, label, claim, candidates, picks, ...sample }: Drawn, size: Shape3): Promise<Cut> {
  // A patch holds nothing of its case.
  const { case: from, epoch, steps, draws } = sample
  const rest = { case: from, epoch, steps, draws }
  try {
    const patches = picks.map(async ({ kind, k }, patch): Promise<Sample> => {
      const centre = correctedCentre(await candidates.find(kind, k), size, image.grid.shape)
      const drawn: CropDraw = { centre, start: cropStart(centre, size) }
      const [imagePatch, labelPatch] = await Promise.all([cut(image, drawn.start, size), cut(label, drawn.start, size)])
      return withDraw({ ...rest, image: imagePatch, label: labelPatch, patch }, 'crop', drawn)
    })
    return { ...sample, patches: await Promise.all(patches) }
  } finally {
    claim.release()
  }
}

/** Where the draws of a case come from; in MONAI one generator serves all cases, in the order in which they ask. */
function generator({ seed, random }: Context): (sample: Sample) => CentreDraws {
  if (random.mode === 'counter') return sample => rng(seed, sample.epoch, sample.case.index, 'crop')
  const state = new NumpyRandom(random.seedFor('RandCropByPosNegLabeld'))
  return () => state
}

async function cut({ grid, region, resident }: Volume, start: Shape3, shape: Shape3): Promise<Volume> {
  const box = { start, shape }
  const voxels = region ? await region(start, shape) : cropVoxels(resident!, grid.shape, box)
  return residentVolume(croppedGrid(grid, box), voxels)
}

/** A volume whose boxes can be read: the same where they can, else with its voxels in memory. */
async function addressable(volume: Volume): Promise<Volume> {
  return volume.region || volume.resident ? volume : residentVolume(volume.grid, await materialise(volume))
}
