/** The network over a whole volume: sliding windows, blended logits, soft-max, back to the scan's grid, arg-max. */

import type { FromSchema } from 'json-schema-to-ts'
import { classPlanes, invert } from '../imaging/invert.ts'
import { maskBytes, maskOfPlanes } from '../imaging/mask.ts'
import { paddedGrid } from '../imaging/pad.ts'
import { readAhead } from '../imaging/read-ahead.ts'
import { endsSeparably, sampledMask } from '../imaging/sampled-mask.ts'
import { turningBytes, turnMask } from '../imaging/turn-mask.ts'
import type { LoadedVolume } from '../imaging/volume.ts'
import { planInvert, planPad, planSampledMask, planStored, planStream, wholeBytes } from '../imaging/volume-plan.ts'
import { windowCount, windowFor, windowPadding } from '../imaging/windows.ts'
import { mapsOf, type Means } from '../native/windows.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Claim } from '../pipeline/claims.ts'
import type { Prediction, Sample } from '../pipeline/flow.ts'
import type { Shape3, SpatialStep } from '../pipeline/grid.ts'
import type { Plan } from '../pipeline/planned.ts'
import type { Stage } from '../pipeline/stage.ts'
import { windows } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { perItemAsync } from './lift.ts'
import { expectOwnFolder } from './output-folders.ts'
import { pauseOf } from './pause.ts'
import { withBytes } from './plans.ts'
import { probabilityFiles, probabilityFileBytes } from './probability-files.ts'
import { SharedMemory } from './shared-memory.ts'
import { slide, type SlideTools } from './slide.ts'
import { slideBytes, viewsOf } from './slide-plan.ts'
import { Turns } from './turns.ts'

const schema = {
  type: 'object',
  description:
    'Predicts a mask by sliding windows. Logits are blended, then made probabilities, brought back to the scan’s grid and arg-maxed, all while the scan streams by.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'infer' },
    ...windows,
    tta: {
      type: 'array',
      items: { enum: ['x', 'y', 'z'] },
      uniqueItems: true,
      default: [],
      description:
        'test-time augmentation: each window also mirrored along these axes and all combinations of them; the mean of the logits counts',
    },
    invert: { type: 'boolean', default: true, description: "bring the mask back to the scan's own grid" },
    probabilities: {
      type: 'string',
      pattern: '^[A-Za-z0-9_-][A-Za-z0-9._ -]*$',
      description:
        'the name of a folder below the output folder for probabilities, float32, as <case>.nii.gz; of more than two classes in folders class0, class1 and so on. Left out, none are written',
    },
    parallel: {
      type: 'integer',
      minimum: 1,
      maximum: 16,
      default: 2,
      description: 'cases at hand: the network works on one, others are being read or brought back meanwhile',
    },
  },
  examples: [
    { kind: 'infer' },
    { kind: 'infer', window: [64, 64, 16], overlap: 0.5, blend: 'gaussian', windowBatch: 2 },
    { kind: 'infer', tta: ['x', 'y'], probabilities: 'probabilities' },
  ],
} as const

type Options = FromSchema<typeof schema>

export const infer: Stage<Options> = {
  schema,
  takes: ['volume'],
  gives: 'prediction',
  create(options, context, { stages }) {
    expectOwnFolder(options, stages)
    const tools: SlideTools = { context, memory: new SharedMemory(), turns: new Turns() }
    return perItemAsync<Sample, Prediction>('infer', options.parallel, sample =>
      admitted(sample, context, async claimed => ({
        ...(await predict(claimed, options, tools)),
        claim: claimed.claim,
      })),
    )
  },
  plan: planPrediction,
}

async function predict(
  sample: Sample & { readonly claim: Claim },
  options: Options,
  tools: SlideTools,
): Promise<Prediction> {
  const { image, scan, label, lungs } = sample
  if (!image) throw needsImage()
  const { context } = tools
  const means = meansFor(options, context.engine().info)
  const slid = slide(image, options, means, tools)
  const { turns, others } = split(options, options.invert ? sample.steps : [])
  const back = [...others, slid.padded]
  const maps = slid.maps.map(map => readAhead(invert(back, map, 'linear')))
  const { grid } = maps[0]!
  const header = options.invert ? (image as LoadedVolume).header : undefined
  const files =
    options.probabilities === undefined
      ? undefined
      : probabilityFiles(sample.case, options.probabilities, maps, header, context)
  const making = { scratch: context.scratch, pause: pauseOf(context) }
  const planes = skipsMaps(means, back) ? sampledMask(back, slid.maps[0]!) : classPlanes(maps, files?.write)
  let mask = await maskOfPlanes(grid.shape, planes, making).catch(async (error: unknown) => {
    await files?.abandon(error)
    throw error
  })
  sample.claim.whenReleased(() => mask.close())
  const written = (await files?.finish()) ?? []
  for (const { from, to } of turns.toReversed()) {
    const turned = await turnMask(mask, to, from, making)
    mask.close()
    mask = turned
  }
  return {
    case: sample.case,
    grid: turns[0]?.from ?? grid,
    mask,
    classes: context.engine().info.classes,
    ...(label && { label }),
    ...(lungs && { lungs }),
    ...(options.invert && scan && { scan }),
    ...(header && { header }),
    windows: slid.windows,
    seconds: slid.seconds(),
    files: written,
  }
}

/** A mask of two classes needs no more than their margin. */
function meansFor({ probabilities }: Options, { classes }: { readonly classes: number }): Means {
  return classes === 2 && probabilities === undefined ? 'margin' : 'probabilities'
}

/** Whether nothing but the mask is wanted of what the way back would end with. */
function skipsMaps(means: Means, back: readonly SpatialStep[]): boolean {
  return means === 'margin' && endsSeparably(back)
}

type Turn = Extract<SpatialStep, { kind: 'orient' }>

/** What was turned at the very beginning can be turned back in the mask, which is smaller than probabilities. */
function split(
  { probabilities }: Options,
  steps: readonly SpatialStep[],
): { turns: readonly Turn[]; others: readonly SpatialStep[] } {
  const first = probabilities === undefined ? steps.findIndex(({ kind }) => kind !== 'orient') : 0
  const count = first < 0 ? steps.length : first
  return { turns: steps.slice(0, count) as Turn[], others: steps.slice(count) }
}

function planPrediction(options: Options, plan: Plan, { classes }: { readonly classes: number }): Plan {
  const { image, label, lungs } = plan.volumes
  if (!image) throw needsImage()
  const window = windowFor(image.grid.shape, options.window as unknown as Shape3)
  const padding = windowPadding(image.grid.shape, window)
  const padded = planPad(image, padding, 'constant')
  const grid = paddedGrid(image.grid, padding)
  const count = windowCount(grid.shape, window, options.overlap) * viewsOf(options.tta).length
  const { turns, others } = split(options, options.invert ? plan.steps : [])
  const padStep: SpatialStep = { kind: 'pad', from: image.grid, before: padding.before, to: grid }
  const back = [...others, padStep]
  const means = meansFor(options, { classes })
  const map = planInvert(back, planStream(grid, image.isExact), 'linear')
  // Each map is one slab ahead of its reader. Who turns one has all of it read first, and the others wait as a whole.
  const waiting = others.some(({ kind }) => kind === 'orient') ? wholeBytes(grid) : 0
  const maps = skipsMaps(means, back)
    ? planSampledMask(back, planStream(grid, image.isExact))
    : mapsOf(means, classes) * (map.pulling + map.slab + waiting)
  const turning = turns.map(({ from, to }) => turningBytes(to, from))
  const own = turns[0]?.from ?? map.grid
  const mask = maskBytes(own.shape) * (turns.length > 0 ? 2 : 1)
  const files = options.probabilities === undefined ? 0 : probabilityFileBytes(map.grid, classes)
  const sliding = padded.pulling + slideBytes(grid, window, options, classes) + maps + files
  const { bytes } = withBytes(plan, mask + Math.max(sliding, ...turning))
  const isExact = map.isExact && (image.isExact || (options.invert && plan.steps.length > 0))
  return {
    flow: 'prediction',
    volumes: {
      ...(label && { label }),
      ...(lungs && { lungs }),
      prediction: planStored(own, isExact),
    },
    steps: [],
    items: 1,
    windows: { shape: window, count },
    resident: plan.resident + mask,
    bytes,
  }
}

function needsImage(): PipelineError {
  return new PipelineError(
    'ERR_DATASET',
    'expected an image to infer on, found none; put "image" into the keys of "load"',
  )
}
