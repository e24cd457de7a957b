/** The network over a whole volume: sliding windows, blended logits, soft-max, back to the scan's grid, arg-max. */

import type { FromSchema } from 'json-schema-to-ts'
import { argmaxPlanes, invert } from '../imaging/invert.ts'
import { MaskBuilder, maskBytes, type OwnedMask } from '../imaging/mask.ts'
import { importanceMap, windowCount, windowFor, windowPadding, windowsOf, type Blend } from '../imaging/windows.ts'
import { pad, paddedGrid } from '../imaging/pad.ts'
import { materialise, residentVolume, type LoadedVolume } from '../imaging/volume.ts'
import {
  invertedCopies,
  planInvert,
  planPad,
  planResident,
  materialisedBytes,
  wholeBytes,
} from '../imaging/volume-plan.ts'
import { codeOf, messageOf, PipelineError } from '../pipeline/errors.ts'
import type {
  Claim,
  Context,
  Grid,
  Plan,
  Prediction,
  Sample,
  Shape3,
  SpatialStep,
  Stage,
  Volume,
} from '../pipeline/stage.ts'
import { windows } from '../schemas/fragments.ts'
import { admitted } from './admit.ts'
import { perItemAsync } from './lift.ts'
import { withBytes } from './plans.ts'
import { SharedMemory } from './shared-memory.ts'

const schema = {
  type: 'object',
  description:
    'Predicts a mask by sliding windows. Logits are blended, then made probabilities, brought back to the scan’s grid and arg-maxed.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'infer' },
    ...windows,
    invert: { type: 'boolean', default: true, description: "bring the mask back to the scan's own grid" },
  },
  examples: [
    { kind: 'infer' },
    { kind: 'infer', window: [64, 64, 16], overlap: 0.5, blend: 'gaussian', windowBatch: 2 },
  ],
} as const

type Options = FromSchema<typeof schema>

export const infer: Stage<Options> = {
  schema,
  takes: ['volume'],
  gives: 'prediction',
  create(options, context) {
    const memory = new SharedMemory()
    return perItemAsync<Sample, Prediction>('infer', 1, sample =>
      admitted(sample, context, async claimed => ({
        ...(await predict(claimed, options, context, memory)),
        claim: claimed.claim,
      })),
    )
  },
  plan: planPrediction,
}

function planPrediction(options: Options, plan: Plan, { classes }: { readonly classes: number }): Plan {
  const { image, label } = plan.volumes
  if (!image) throw needsImage()
  const wanted = options.window as unknown as Shape3
  const window = windowFor(image.grid.shape, wanted)
  const padding = windowPadding(image.grid.shape, window)
  const padded = planPad(image, padding, 'constant')
  const whole = wholeBytes(padded.grid)
  const windowVoxels = window[0] * window[1] * window[2]
  const count = windowCount(padded.grid.shape, window, options.overlap)
  // The importance map, and the windows of a call: its voxels going in, its logits coming out.
  const calls = 4 * windowVoxels * (1 + Math.min(options.windowBatch, count) * (1 + classes))
  const copy = materialisedBytes(padded)
  const blending = copy + (classes + 1) * whole + calls
  // Every class is brought back at the same time, from its map in memory, with the slab before still held.
  const steps = options.invert ? plan.steps : []
  const padStep: SpatialStep = { kind: 'pad', from: image.grid, before: padding.before, to: padded.grid }
  const back = [...steps, padStep]
  const map = planInvert(back, planResident(padded.grid, padded.isExact), 'linear')
  const plane = 4 * map.grid.shape[0] * map.grid.shape[1]
  const mask = maskBytes(map.grid.shape)
  const bringing = classes * (whole + invertedCopies(back) + map.pulling + map.slab + plane) + mask
  const { bytes } = withBytes(plan, Math.max(padded.pulling + copy, blending, bringing))
  const isExact = map.isExact && (image.isExact || (options.invert && plan.steps.length > 0))
  return {
    flow: 'prediction',
    volumes: { ...(label && { label }), prediction: { ...planResident(map.grid, isExact), access: 'slabs' } },
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

async function predict(
  sample: Sample & { readonly claim: Claim },
  options: Options,
  context: Context,
  memory: SharedMemory,
): Promise<Prediction> {
  const started = performance.now()
  const { image } = sample
  if (!image) throw needsImage()
  const blended = await blendWindows(image, options, context, memory)
  const maps = probabilityMaps(blended, options.invert ? sample.steps : [])
  const header = (image as LoadedVolume).header
  const { grid } = maps[0]!
  const mask = await collectPlanes(argmaxPlanes(maps), grid.shape, context.scratch)
  sample.claim.whenReleased(() => mask.close())
  return {
    case: sample.case,
    grid,
    mask,
    classes: maps.length,
    files: [],
    ...(sample.label && { label: sample.label }),
    ...(sample.lungs && { lungs: sample.lungs }),
    ...(options.invert && sample.scan && { scan: sample.scan }),
    ...(options.invert && header && { header }),
    windows: blended.windows,
    seconds: (performance.now() - started) / 1000,
  }
}

/** Logits of a whole image; where it is smaller than a window, of the image with the padding around it. */
export interface Blended {
  /** From the image's grid to that of the logits. */
  readonly padded: Extract<SpatialStep, { kind: 'pad' }>
  /** One array (z, y, x) per class. */
  readonly logits: Float32Array[]
  readonly windows: number
}

/** Covers an image with windows, runs the network on each and takes the weighted mean of its logits at every voxel. */
export async function blendWindows(
  image: Volume,
  { window: wanted, overlap, blend, sigma, windowBatch }: Omit<Options, 'kind' | 'invert'>,
  context: Context,
  memory = new SharedMemory(),
): Promise<Blended> {
  const window = windowFor(image.grid.shape, wanted as unknown as Shape3)
  // An image smaller than the window is filled up with 0 (the lower end of the clip), as MONAI does.
  const padding = windowPadding(image.grid.shape, window)
  const voxels = await materialise(pad(image, padding, 'constant', 0))
  const grid = paddedGrid(image.grid, padding)
  const starts = windowsOf(grid.shape, window, overlap)
  const map = importanceMap(window, blend as Blend, sigma)
  const logits = await slide(voxels, grid, starts, window, map, windowBatch, context, memory).catch(
    (error: unknown) => {
      if (codeOf(error) !== 'ERR_DEFINITION' || !wanted.includes(0)) throw error
      // The definition is right for other images: this one alone is at fault.
      throw new PipelineError(
        'ERR_VOLUME',
        `a window as large as the image does not suit the network: ${messageOf(error)}; give the window a size, or "pad" the image`,
        { window },
        { cause: error },
      )
    },
  )
  return { padded: { kind: 'pad', from: image.grid, before: padding.before, to: grid }, logits, windows: starts.length }
}

/**
 * Probabilities of each class on the grid before `steps` (of the image itself without any), lazily. Soft-max comes after
 * blending and before the way back; it overwrites the logits.
 */
export function probabilityMaps({ padded, logits }: Blended, steps: readonly SpatialStep[]): Volume[] {
  softmaxInPlace(logits)
  return logits.map(values => invert([...steps, padded], residentVolume(padded.to, values), 'linear'))
}

/** Blended logits, one array (z, y, x) per class. */
async function slide(
  voxels: Float32Array,
  grid: Grid,
  starts: readonly Shape3[],
  window: Shape3,
  map: Float32Array,
  windowBatch: number,
  context: Context,
  memory: SharedMemory,
): Promise<Float32Array[]> {
  const engine = context.engine()
  const sums = Array.from({ length: engine.info.classes }, () => new Float32Array(voxels.length))
  const weights = new Float32Array(voxels.length)
  const size = map.length * sums.length
  const most = Math.min(windowBatch, starts.length)
  const [input, output] = [map.length, size].map(length => memory.take(most * length * 4)) as [
    SharedArrayBuffer,
    SharedArrayBuffer,
  ]
  for (let first = 0; first < starts.length; first += windowBatch) {
    if (context.signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
    const group = starts.slice(first, first + windowBatch)
    const windows = new Float32Array(input, 0, group.length * map.length)
    copyWindows(windows, voxels, grid.shape, group, window)
    const to = new Float32Array(output, 0, group.length * size)
    const logits = await engine.infer(windows, group.length, window, to)
    for (const [i, start] of group.entries()) {
      addWindow(sums, weights, logits.subarray(i * size, (i + 1) * size), map, start, window, grid.shape)
    }
  }
  // Not after an error: an engine at work might still write.
  memory.give(input)
  memory.give(output)
  for (const sum of sums) for (let i = 0; i < sum.length; i++) sum[i]! /= weights[i]!
  return sums
}

/** Windows side by side, each (z, y, x). */
function copyWindows(
  input: Float32Array,
  voxels: Float32Array,
  shape: Shape3,
  group: readonly Shape3[],
  [wx, wy, wz]: Shape3,
): void {
  let to = 0
  for (const [x, y, z] of group) {
    for (let k = 0; k < wz; k++) {
      for (let j = 0; j < wy; j++, to += wx) {
        const from = ((z + k) * shape[1] + y + j) * shape[0] + x
        input.set(voxels.subarray(from, from + wx), to)
      }
    }
  }
}

/** Adds a window's logits (z, y, x, class), weighted, to the sums of the classes. */
function addWindow(
  sums: readonly Float32Array[],
  weights: Float32Array,
  logits: Float32Array,
  map: Float32Array,
  [x, y, z]: Shape3,
  [wx, wy, wz]: Shape3,
  shape: Shape3,
): void {
  const classes = sums.length
  let at = 0
  for (let k = 0; k < wz; k++) {
    for (let j = 0; j < wy; j++) {
      const row = ((z + k) * shape[1] + y + j) * shape[0] + x
      for (let i = 0; i < wx; i++, at++) {
        const weight = map[at]!
        weights[row + i]! += weight
        for (let c = 0; c < classes; c++) sums[c]![row + i]! += weight * logits[at * classes + c]!
      }
    }
  }
}

/** Logits become probabilities over the classes, voxel by voxel. */
function softmaxInPlace(maps: readonly Float32Array[]): void {
  const classes = maps.length
  for (let i = 0; i < maps[0]!.length; i++) {
    let largest = -Infinity
    for (let c = 0; c < classes; c++) largest = Math.max(largest, maps[c]![i]!)
    let sum = 0
    for (let c = 0; c < classes; c++) sum += maps[c]![i] = Math.exp(maps[c]![i]! - largest)
    // The comparison is false for NaN.
    if (!(sum > 0))
      throw new PipelineError(
        'ERR_WEIGHTS',
        'the network gives values that are not finite: its weights are damaged, or belong to another network',
      )
    for (let c = 0; c < classes; c++) maps[c]![i]! /= sum
  }
}

async function collectPlanes(
  planes: AsyncIterable<Uint8Array>,
  shape: Shape3,
  scratch: string | undefined,
): Promise<OwnedMask> {
  const builder = new MaskBuilder(shape, scratch)
  try {
    for await (const plane of planes) builder.append(plane)
    return builder.finish()
  } catch (error) {
    builder.close()
    throw error
  }
}
