/** Random changes of a patch: flips, quarter turns, an intensity shift. Drawn first, applied afterwards. */

import type { FromSchema } from 'json-schema-to-ts'
import { mirrored, shifted, turned } from '../imaging/patch.ts'
import { NumpyRandom } from '../pipeline/numpy-random.ts'
import { rng, type Rng } from '../pipeline/random.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Volume } from '../pipeline/grid.ts'
import type { Context, Stage } from '../pipeline/stage.ts'
import { probability } from '../schemas/fragments.ts'
import { withDraw } from './keys.ts'
import { perItem } from './lift.ts'

const axes = ['x', 'y', 'z'] as const
type Axis = (typeof axes)[number]

const schema = {
  type: 'object',
  description:
    'Random flips, quarter turns in the x-y plane and a shift of the intensities, the same for image and label.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'augment' },
    flip: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'mirrors each of the axes on its own',
      properties: {
        probability: { ...probability, default: 0.1, description: 'per axis' },
        axes: {
          type: 'array',
          items: { enum: axes },
          uniqueItems: true,
          default: ['x', 'y', 'z'],
          description: 'which axes',
        },
      },
    },
    rotate90: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'turns by 1 to maxTurns quarters from x towards y',
      properties: {
        probability: { ...probability, default: 0.1, description: 'of turning at all' },
        maxTurns: { type: 'integer', minimum: 1, maximum: 3, default: 3, description: 'most quarters' },
      },
    },
    shiftIntensity: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'adds one number to the whole image',
      properties: {
        probability: { ...probability, default: 0.5, description: 'of shifting at all' },
        offset: {
          type: 'number',
          minimum: 0,
          default: 0.1,
          description: 'drawn uniformly from (-offset, offset), in the units of the image after clip',
        },
      },
    },
  },
  examples: [
    {
      kind: 'augment',
      flip: { probability: 0.1, axes: ['x', 'y', 'z'] },
      rotate90: { probability: 0.1, maxTurns: 3 },
      shiftIntensity: { probability: 0.5, offset: 0.1 },
    },
  ],
} as const

type Options = FromSchema<typeof schema>

/** What was drawn for one patch. */
export interface Augmentation {
  readonly flips: readonly Axis[]
  /** Quarters, 0 for none. */
  readonly turns: number
  /** Added to the image. */
  readonly shift: number
}

export const augment: Stage<Options> = {
  schema,
  takes: ['patch'],
  gives: 'patch',
  random: true,
  create(options, context) {
    const drawFor = drawing(options, context)
    return perItem<Sample, Sample>('augment', sample => {
      const drawn = drawFor(sample)
      return withDraw(apply(sample, drawn), 'augment', drawn)
    })
  },
}

function drawing(options: Options, { seed, random }: Context): (sample: Sample) => Augmentation {
  if (random.mode === 'numpy') return drawAsMonai(options, random.seedFor)
  return sample => draw(rng(seed, sample.epoch, sample.case.index, 'augment', sample.patch), options)
}

/** Every number is drawn every time, so that one option does not move the draws of another. */
export function draw(random: Rng, options: Options): Augmentation {
  const flips = axes.filter(axis => random.uniform() < options.flip.probability && options.flip.axes.includes(axis))
  const turned = random.uniform() < options.rotate90.probability
  const turns = 1 + random.integer(options.rotate90.maxTurns)
  const shifted = random.uniform() < options.shiftIntensity.probability
  const offset = (2 * random.uniform() - 1) * options.shiftIntensity.offset
  return { flips, turns: turned ? turns : 0, shift: shifted ? offset : 0 }
}

/**
 * Draws patch after patch as a MONAI Compose of a RandFlipd for each axis in the order of `axes`, RandRotate90d and
 * RandShiftIntensityd. What has probability 0 is not in that Compose: it gets no seed. Each transform has a generator of
 * its own, so that it makes no difference that MONAI takes all patches of a case through one transform before the next.
 */
export function drawAsMonai(options: Options, seedFor: (transform: string) => number): () => Augmentation {
  const { flip, rotate90, shiftIntensity } = options
  const flips = (flip.probability > 0 ? flip.axes : []).map(axis => {
    const state = new NumpyRandom(seedFor(`RandFlipd ${axis}`))
    return { axis, flipped: () => state.uniform() < flip.probability }
  })
  const turns = rotate90.probability > 0 ? monaiTurns(rotate90, seedFor('RandRotate90d')) : () => 0
  const shift = shiftIntensity.probability > 0 ? monaiShift(shiftIntensity, seedFor('RandShiftIntensityd')) : () => 0
  return () => ({
    flips: flips.filter(({ flipped }) => flipped()).map(({ axis }) => axis),
    turns: turns(),
    shift: shift(),
  })
}

/** RandRotate90d, the dictionary's version: how often first, then whether at all, both every time. */
function monaiTurns({ probability, maxTurns }: Options['rotate90'], seed: number): () => number {
  const state = new NumpyRandom(seed)
  return () => {
    const turns = 1 + state.integer(maxTurns)
    return state.uniform() < probability ? turns : 0
  }
}

/** RandShiftIntensityd: it says whether; a RandShiftIntensity in it, of the same seed and probability 1, says how much. */
function monaiShift({ probability, offset }: Options['shiftIntensity'], seed: number): () => number {
  const whether = new NumpyRandom(seed)
  const howMuch = new NumpyRandom(seed)
  return () => {
    if (whether.uniform() >= probability) return 0
    howMuch.uniform() // whether again: always
    // torch adds numbers to a float32 image as float32.
    return Math.fround(howMuch.uniform(-offset, offset))
  }
}

/** Flips in the order x, y, z, then turns, then shifts the image. Voxels move when somebody takes them. */
export function apply(sample: Sample, { flips, turns, shift }: Augmentation): Sample {
  const spatial = (volume: Volume): Volume =>
    turned(
      flips.reduce((flipped, axis) => mirrored(flipped, axes.indexOf(axis)), volume),
      turns,
    )
  const image = sample.image && spatial(sample.image)
  const label = sample.label && spatial(sample.label)
  return { ...sample, ...(image && { image: shift === 0 ? image : shifted(image, shift) }), ...(label && { label }) }
}
