/** How long the network takes on this machine: real shapes with random voxels, smaller ones where one would take too long. */

import { codeOf } from '../errors.ts'
import { rng } from '../random.ts'
import type { Engine, EngineWork } from '../engine.ts'
import type { Shape3 } from '../grid.ts'
import { measured, times, type Effort } from './stopwatch.ts'

/** What was run to tell how long a call takes. */
export type Measured = 'the whole call' | 'one patch of it' | 'a smaller patch'

export interface TimedCall {
  readonly effort: Effort
  readonly measured: Measured
}

export interface EngineSpeeds {
  /** One optimiser step on a whole batch. */
  readonly step?: TimedCall
  /** Windows of these extents, one by one. */
  readonly window?: TimedCall & { readonly shape: Shape3 }
  /** Handing out weights and optimiser's state, as after every epoch. */
  readonly save?: Effort
}

/** Spends about `seconds` on steps and windows. The weights stay as they are; the optimiser's state does not. */
export async function timeEngine(
  engine: Engine,
  { step, windows }: EngineWork,
  seconds: number,
): Promise<EngineSpeeds> {
  const [shape] = windows
  const budget = step && shape ? seconds / 2 : seconds
  const speeds: { -readonly [K in keyof EngineSpeeds]: EngineSpeeds[K] } = {}
  if (step) {
    // Weights that learn from noise could become anything.
    await engine.setLearningRate(0)
    speeds.step = await timed((patch, count) => runStep(engine, patch, count), step.patch, step.batch, budget)
    speeds.save = (await measured(() => engine.save({ optimizer: true }))).effort
  }
  if (shape) {
    const call = (window: Shape3, count: number): Promise<unknown> =>
      engine.infer(voxelsOf(window, count), count, window)
    speeds.window = { ...(await timed(call, shape, 1, budget)), shape }
  }
  return speeds
}

type Call = (shape: Shape3, count: number) => Promise<unknown>

/** The effort of a call on `count` patches. A small one warms up and tells whether the whole is worth its time. */
async function timed(call: Call, shape: Shape3, count: number, seconds: number): Promise<TimedCall> {
  const deadline = performance.now() + seconds * 1000
  const left = (): number => (deadline - performance.now()) / 1000
  const small = await smallest(call, shape)
  if (small) {
    const ratio = voxels(shape) / voxels(small)
    let whole = times((await measured(() => call(small, 1))).effort, ratio)
    // What another process delays for a moment would count many times: it is called again before it is believed.
    for (
      let again = 0;
      again < 4 && whole.wall > 2 * seconds && (again === 0 || left() > whole.wall / ratio);
      again++
    ) {
      const next = times((await measured(() => call(small, 1))).effort, ratio)
      if (next.wall < whole.wall) whole = next
    }
    if (whole.wall > 2 * seconds) return { effort: times(whole, count), measured: 'a smaller patch' }
  }
  let one = (await measured(() => call(shape, 1))).effort
  // The first one had memory to find.
  if (one.wall < left()) one = (await measured(() => call(shape, 1))).effort
  if (count > 1 && one.wall * count > left()) return { effort: times(one, count), measured: 'one patch of it' }
  const efforts = count > 1 ? [] : [one]
  while (efforts.length === 0 || left() > efforts[0]!.wall)
    efforts.push((await measured(() => call(shape, count))).effort)
  return { effort: usual(efforts), measured: 'the whole call' }
}

/** A quarter or half of each extent, if the network takes it; run once. */
async function smallest(call: Call, shape: Shape3): Promise<Shape3 | undefined> {
  for (const divisor of [4, 2]) {
    if (shape.some(extent => extent % divisor !== 0)) continue
    const small = shape.map(extent => extent / divisor) as unknown as Shape3
    try {
      await call(small, 1)
      return small
    } catch (error) {
      // The network halves more often than that.
      if (codeOf(error) !== 'ERR_DEFINITION') throw error
    }
  }
  return undefined
}

function runStep(engine: Engine, shape: Shape3, count: number): Promise<unknown> {
  const image = voxelsOf(shape, count)
  const label = new Uint8Array(new SharedArrayBuffer(image.length))
  for (let i = 0; i < label.length; i++) label[i] = image[i]! > 0.9 ? 1 : 0
  return engine.step({ image, label, count, shape, cases: ['calibration'] })
}

/** Values in [0, 1), as images have after clip, in shared memory. */
function voxelsOf(shape: Shape3, count: number): Float32Array {
  const random = rng(0, 0, 0, 'calibration')
  const some = Float32Array.from({ length: 4099 }, () => random.uniform())
  const image = new Float32Array(new SharedArrayBuffer(4 * count * voxels(shape)))
  for (let at = 0; at < image.length; at += some.length) image.set(some.subarray(0, image.length - at), at)
  return image
}

function voxels([x, y, z]: Shape3): number {
  return x * y * z
}

/** The lower quartile: what is disturbed takes longer, nothing takes less. */
function usual(efforts: readonly Effort[]): Effort {
  return efforts.toSorted((a, b) => a.wall - b.wall)[Math.floor((efforts.length - 1) / 4)]!
}
