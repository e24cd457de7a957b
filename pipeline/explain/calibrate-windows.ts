/** What a whole volume takes beside loading and the network: blending windows, the way back to the scan, Dice. */

import highland from 'highland'
import { stageOf } from '../../stages/index.ts'
import type { StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import type { Engine } from '../engine.ts'
import type { Item, Prediction, Sample } from '../flow.ts'
import type { Grid, Shape3, SpatialStep, Volume } from '../grid.ts'
import { sampleOf } from '../tasks/task.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import { less, measured, noEffort, times, type Effort } from './stopwatch.ts'

export interface WindowSpeeds {
  /** Taking a window out of the image and adding its logits. */
  readonly window: Effort
  /** Reading the image and making a mask of its logits, per voxel that the network sees. */
  readonly voxel: Effort
  /** Bringing a mask back to the scan, per voxel of the scan. */
  readonly back: Effort
  /** Metrics, per voxel of the mask. */
  readonly after: Effort
}

/** Times the stages after loading on made-up voxels, without the network. Undefined where the section has no windows. */
export async function timeWindows(section: PlannedSection, classes: number): Promise<WindowSpeeds | undefined> {
  const at = section.stages.findIndex(({ kind }) => kind === 'infer')
  const planned = section.cases[0]
  const windows = planned?.plans[at]?.windows
  if (!planned || !windows) return undefined
  // Nothing is written: files of probabilities are no part of what is timed.
  const { probabilities: _, ...stage } = section.stages[at]!
  const options = { ...stage, window: windows.shape, invert: false }
  const [x, y, z] = windows.shape
  const engine = silentEngine(classes)
  const run = (shape: Shape3, overlap: number): Promise<{ result: Prediction; effort: Effort }> => {
    const image = resident(alongAxes(shape))
    const sample = { ...sampleOf(planned.case, 0), image, label: resident(alongAxes(shape)) }
    return measured(() => predict({ ...options, overlap: [overlap, 0, 0] }, sample, engine))
  }
  await run([x, y, z], 0) // has code to compile
  const one = await run([x, y, z], 0)
  const many = await run([2 * x, y, z], 0.875)
  // one = window + voxels, many = n windows + twice the voxels
  const window = times(less(many.effort, times(one.effort, 2)), 1 / (many.result.windows - 2))
  const voxel = times(less(one.effort, window), 1 / (x * y * z))
  const after = times(await timeAfter(section.stages.slice(at + 1), one.result), 1 / (x * y * z))
  const steps = section.stages[at]!['invert'] === false ? [] : wayBack(planned, at, alongAxes(windows.shape))
  if (steps.length === 0) return { window, voxel, back: noEffort, after }
  const sample: Sample = { ...sampleOf(planned.case, 0), image: resident(alongAxes(windows.shape)), steps }
  const inverted = await measured(() => predict({ ...options, invert: true }, sample, engine))
  const back = times(less(inverted.effort, one.effort), 1 / voxelsIn(inverted.result.mask.shape))
  return { window, voxel, back, after }
}

/** Logits that are nothing, at once. */
function silentEngine(classes: number): Engine {
  const infer = async (voxels: Float32Array): Promise<Float32Array> =>
    new Float32Array(new SharedArrayBuffer(voxels.byteLength * classes))
  return { info: { classes }, infer } as unknown as Engine
}

async function predict(options: StageOptions, sample: Sample, engine: Engine): Promise<Prediction> {
  const before = { flow: (source: Highland.Stream<Item>) => source, stages: [] }
  const transform = stageOf('infer').create(options, dryContext('counter', engine), before)
  return (await transform(highland<Item>([sample])).toPromise(Promise)) as Prediction
}

/** Metrics; masks are not written, and a deflater's time is small beside the rest. */
async function timeAfter(stages: readonly StageOptions[], prediction: Prediction): Promise<Effort> {
  const dice = stages.find(({ kind }) => kind === 'dice')
  if (!dice || !prediction.label) return noEffort
  const before = { flow: (source: Highland.Stream<Item>) => source, stages: [] }
  const transform = stageOf('dice').create(dice, dryContext('counter'), before)
  return (await measured(() => transform(highland<Item>([prediction])).toPromise(Promise))).effort
}

/** One resampling from a scan that is as much finer as this case's, in few enough planes to be quick. */
function wayBack({ plans }: PlannedCase, at: number, to: Grid): readonly SpatialStep[] {
  const step = plans[at - 1]?.steps.find(({ kind }) => kind === 'resample')
  if (!step) return []
  const finer = [0, 1, 2].map(axis => step.from.shape[axis]! / step.to.shape[axis]!)
  const most = (8 << 20) / (to.shape[0] * to.shape[1] * finer[0]! * finer[1]!)
  const shape = to.shape.map((n, axis) =>
    Math.max(1, Math.round(Math.min(n * finer[axis]!, axis === 2 ? most : Infinity))),
  ) as unknown as Shape3
  const [x, y, z] = finer.map(ratio => 1 / ratio) as [number, number, number]
  return [{ kind: 'resample', from: { shape, affine: [x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0, 0, 0, 0, 1] }, to }]
}

function voxelsIn([x, y, z]: Shape3): number {
  return x * y * z
}

function alongAxes(shape: Shape3): Grid {
  return { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
}

function resident(grid: Grid): Volume {
  const [x, y, z] = grid.shape
  const voxels = new Float32Array(x * y * z)
  return {
    grid,
    resident: voxels,
    async *slabs() {
      yield { z: 0, planes: z, voxels }
    },
  }
}
