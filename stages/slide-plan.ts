/** What windows over a volume take: how many views and calls there are, and the bytes that they hold. */

import { largestStep, type Blend } from '../imaging/windows.ts'
import { sumChannels } from '../native/windows.ts'
import type { Grid, Shape3 } from '../pipeline/grid.ts'

export interface SlideOptions {
  readonly window: readonly number[]
  readonly overlap: number | readonly number[]
  readonly blend: string
  readonly sigma: number
  readonly windowBatch: number
  readonly tta: readonly ('x' | 'y' | 'z')[]
}

/** Windows that are with the engine or wait for it: one at work, and one so that it never waits. */
export const callsInFlight = 2

/** Views of each window: all combinations of the axes, the plain one first. Bits 0, 1, 2 mirror along x, y, z. */
export function viewsOf(tta: SlideOptions['tta']): number[] {
  return tta.reduce<number[]>((views, axis) => [...views, ...views.map(view => view | bits[axis])], [0])
}

const bits = { x: 1, y: 2, z: 4 }

/** Whether windows are weighted, so that the weights of voxels must be summed up. */
export function weighs({ blend }: SlideOptions): boolean {
  return (blend as Blend) !== 'constant'
}

/** Planes of the image at hand: those of a row of windows, and what the next row adds. */
export function ringDepth(shape: Shape3, window: Shape3, { overlap }: SlideOptions): number {
  return window[2] + largestStep(shape, window, overlap)
}

/** Most bytes that a pass holds beside the volume that it pulls and what has left it; `grid` is the padded one. */
export function slideBytes(grid: Grid, window: Shape3, options: SlideOptions, classes: number): number {
  const plane = 4 * grid.shape[0] * grid.shape[1]
  const voxels = 4 * window[0] * window[1] * window[2]
  const weights = weighs(options) ? 1 : 0
  const sums = (sumChannels(classes) + weights) * window[2] * plane
  // In calls; the map of weights; the logits of a window of one value.
  const calls = callsInFlight * options.windowBatch * voxels * (1 + classes)
  return ringDepth(grid.shape, window, options) * plane + sums + calls + voxels * (weights + classes)
}
