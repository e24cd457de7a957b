/** Random crops around lesion and background voxels, several per case. */

import type { FromSchema } from 'json-schema-to-ts'
import { croppedGrid, cropVoxels } from '../imaging/crop.ts'
import { expectClasses } from '../imaging/classes.ts'
import { candidatesOf, cropStart, drawCentres } from '../imaging/sample-centres.ts'
import { materialise, residentVolume } from '../imaging/volume.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { rng } from '../pipeline/random.ts'
import type { Grid, Sample, Shape3, Stage, Volume } from '../pipeline/stage.ts'
import { size } from '../schemas/fragments.ts'
import { perItemMany } from './lift.ts'

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

export const crop: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'patch',
  random: true,
  create(options, context) {
    const { seed } = context
    const shape = options.size as unknown as Shape3
    const { positive: pos, negative: neg, samples } = options
    if (pos + neg === 0)
      throw new PipelineError(
        'ERR_DEFINITION',
        '/stages (crop): positive and negative are both 0: expected one of them above',
      )
    return perItemMany<Sample, Sample>('crop', options.parallel, async sample => {
      const { image, label } = sample
      if (!image || !label)
        throw new PipelineError(
          'ERR_DATASET',
          'expected an image and a label to crop from, found only one of them; training cases need both',
        )
      const [voxels, classes] = await Promise.all([materialise(image), materialise(label)])
      expectClasses(classes, context.engine().info.classes)
      const candidates = candidatesOf(classes, voxels, image.grid.shape, options.imageThreshold)
      const draws = rng(seed, sample.epoch, sample.case.index, 'crop')
      return drawCentres(candidates, image.grid.shape, { size: shape, samples, pos, neg }, draws).map(
        (centre, patch) => {
          const start = cropStart(centre, shape)
          const drawn: CropDraw = { centre, start }
          return {
            ...sample,
            image: cut(image.grid, voxels, start, shape),
            label: cut(label.grid, classes, start, shape),
            patch,
            draws: { ...sample.draws, crop: drawn },
          }
        },
      )
    })
  },
}

function cut(grid: Grid, voxels: Float32Array, start: Shape3, shape: Shape3): Volume {
  return residentVolume(croppedGrid(grid, { start, shape }), cropVoxels(voxels, grid.shape, { start, shape }))
}
