/** What a whole volume takes beside loading and the network: blending windows, the way back to the scan, Dice. */

import highland from 'highland'
import { stageOf } from '../../stages/index.ts'
import type { StageOptions } from '../definition.ts'
import { dryContext } from '../dry-context.ts'
import type { Engine, Grid, Item, Prediction, Sample, Shape3, SpatialStep, Volume } from '../stage.ts'
import { sampleOf } from '../tasks/task.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import { measured, noEffort, times, type Effort } from './stopwatch.ts'

export interface WindowSpeeds {
  /** Taking a window out of the image and adding its logits. */
  readonly blending: Effort
  /** Probabilities and, where masks are brought back, resampling: per voxel of the mask. */
  readonly back: Effort
  /** Metrics and writing, per voxel of the mask. */
  readonly after: Effort
}

/** Times the stages after loading on made-up voxels, without the network. Undefined where the section has no windows. */
export async function timeWindows(section: PlannedSection, classes: number): Promise<WindowSpeeds | undefined> {
  const at = section.stages.findIndex(({ kind }) => kind === 'infer')
  const planned = section.cases[0]
  const windows = planned?.plans[at]?.windows
  if (!planned || !windows) return undefined
  const options = section.stages[at]!
  const [x, y, z] = windows.shape
  const grid: Grid = { shape: windows.shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
  const image = resident(grid)
  const one = { ...options, invert: false }
  const engine = silentEngine(classes)
  const sample: Sample = { ...sampleOf(planned.case, 0), image, label: resident(grid) }
  // Twice: the first has code to compile.
  await predict(one, sample, engine)
  const plain = await measured(() => predict(one, sample, engine))
  const blending = plain.effort
  const after = await timeAfter(section.stages.slice(at + 1), plain.result)
  const steps = options['invert'] === false ? [] : wayBack(planned, at, grid)
  if (steps.length === 0) return { blending, back: noEffort, after: times(after, 1 / (x * y * z)) }
  const inverted = await measured(() => predict({ ...options, invert: true }, { ...sample, steps }, engine))
  const voxels = inverted.result.mask.length
  const back = {
    wall: Math.max(0, inverted.effort.wall - blending.wall) / voxels,
    cpu: Math.max(0, inverted.effort.cpu - blending.cpu) / voxels,
    main: Math.max(0, inverted.effort.main - blending.main) / voxels,
  }
  return { blending, back, after: times(after, 1 / (x * y * z)) }
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
