/** Random crops around lesion and background voxels, several per case. */

import type { FromSchema } from 'json-schema-to-ts'
import { croppedGrid, cropVoxels } from '../imaging/crop.ts'
import { expectClasses } from '../imaging/classes.ts'
import { candidatesOf, cropStart, drawCentres, type Candidates, type CentreDraws } from '../imaging/sample-centres.ts'
import { materialise, residentVolume } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { NumpyRandom } from '../pipeline/numpy-random.ts'
import { rng } from '../pipeline/random.ts'
import type { Context, Grid, Sample, Shape3, Stage, Volume } from '../pipeline/stage.ts'
import { size } from '../schemas/fragments.ts'
import { withDraw } from './keys.ts'
import { perItemAsync, perItemMany } from './lift.ts'

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

/** A case whose voxels are in memory and whose candidates are counted. */
interface Prepared extends Sample {
  readonly image: Volume
  readonly label: Volume
  readonly voxels: Float32Array
  readonly classes: Float32Array
  readonly candidates: Candidates
}

export const crop: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'patch',
  random: true,
  create(options, context) {
    const shape = options.size as unknown as Shape3
    const { positive: pos, negative: neg, samples } = options
    if (pos + neg === 0)
      throw new PipelineError('ERR_DEFINITION', 'crop: positive and negative are both 0; expected one of them above')
    // MONAI's rule: a float32 image against a float32 threshold.
    const threshold = Math.fround(options.imageThreshold)
    const prepare = perItemAsync<Sample, Prepared>('crop', options.parallel, async sample => {
      const { image, label } = sample
      if (!image || !label)
        throw new PipelineError(
          'ERR_DATASET',
          'expected an image and a label to crop from, found only one of them; training cases need both',
        )
      const [voxels, classes] = await Promise.all([materialise(image), materialise(label)])
      expectClasses(classes, context.engine().info.classes)
      const candidates = await candidatesOf(classes, voxels, image.grid.shape, threshold)
      return { ...sample, image, label, voxels, classes, candidates }
    })
    const drawsFor = generator(context)
    // Volumes come side by side, in their order; only here, one after the other, is anything drawn.
    const take = perItemMany<Prepared, Sample>('crop', ({ voxels, classes, candidates, ...sample }) => {
      const { image, label } = sample
      const centres = drawCentres(candidates, image.grid.shape, { size: shape, samples, pos, neg }, drawsFor(sample))
      return centres.map((centre, patch) => {
        const drawn: CropDraw = { centre, start: cropStart(centre, shape) }
        return withDraw(
          {
            ...sample,
            image: cut(image.grid, voxels, drawn.start, shape),
            label: cut(label.grid, classes, drawn.start, shape),
            patch,
          },
          'crop',
          drawn,
        )
      })
    })
    return source => take(prepare(source))
  },
}

/** Where the draws of a case come from; in MONAI one generator serves all cases, in the order in which they ask. */
function generator({ seed, random }: Context): (sample: Sample) => CentreDraws {
  if (random.mode === 'counter') return sample => rng(seed, sample.epoch, sample.case.index, 'crop')
  const state = new NumpyRandom(random.seedFor('RandCropByPosNegLabeld'))
  return () => state
}

function cut(grid: Grid, voxels: Float32Array, start: Shape3, shape: Shape3): Volume {
  return residentVolume(croppedGrid(grid, { start, shape }), cropVoxels(voxels, grid.shape, { start, shape }))
}
