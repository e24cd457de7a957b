/** A plane of a scan with two masks outlined: what was wanted, and what was found. */

import { encode } from 'fast-png'
import { viewsOf, type View, type ViewAxis } from '../imaging/three-planes.ts'
import { paint } from '../imaging/mask.ts'
import type { PlaneRuns } from '../pipeline/flow.ts'
import type { Grid } from '../pipeline/grid.ts'
import { contours } from './contour.ts'
import { between, classesOf, greyOf, samples } from './plane-pixels.ts'

export interface SlicePlane {
  readonly grid: Grid
  readonly z: number
  /** The scan's plane (y, x), HU; without it the ground is dark. */
  readonly plane?: Float32Array
  readonly reference: PlaneRuns
  readonly prediction: PlaneRuns
}

export interface SliceOptions {
  /** The values that become black and white, HU. */
  readonly window?: readonly [low: number, high: number]
  /** Pixels along the longer edge, at most. */
  readonly pixels?: number
}

/** Two of Okabe and Ito's colours, which people tell apart who see no red or no green; the second line is dashed too. */
export const sliceColours = { reference: [86, 180, 233], prediction: [245, 163, 26] } as const

/** Pixels of a dash, and from one to the next. */
const dash = { on: 7, period: 12 }

/** Around the lesions, and at least shown, mm. */
const margin = 25
const leastField = 140

/** Where there is no scan. */
const ground = 24

/**
 * A PNG of plane z of a grid. Cut out around the lesions with some of what lies around them, whole where there are none;
 * pixels are square in mm, greys between voxels linear. By radiological convention, along the voxel axes nearest to it: the
 * patient's right is on the left. `view` tells along which the plane lies.
 */
export function slicePicture(
  { grid, plane, reference, prediction }: SlicePlane,
  { window = [-1000, 500], pixels = 384 }: SliceOptions = {},
): { png: Uint8Array; width: number; height: number; view: View['name'] } {
  const view = viewsOf(grid).find(({ across }) => across === 2)!
  const { horizontal, vertical } = view
  const [nx, ny] = grid.shape
  const masks = [reference, prediction].map(runs => paint(runs, new Uint8Array(nx * ny)))
  const box = boxOf(masks, view, nx)
  const fields = [fieldOf(horizontal, box?.[0]), fieldOf(vertical, box?.[1])] as const
  const [wideMm, highMm] = [fields[0].length * horizontal.spacingMm, fields[1].length * vertical.spacingMm]
  const pixelMm = Math.max(wideMm, highMm) / pixels
  const [width, height] = [wideMm, highMm].map(mm => Math.max(1, Math.round(mm / pixelMm))) as [number, number]
  const columns = samples(horizontal, width, fields[0])
  const rows = samples(vertical, height, fields[1])
  const data = new Uint8Array(3 * width * height).fill(ground)
  if (plane) {
    let to = 0
    for (const row of rows) {
      for (const column of columns) {
        data.fill(greyOf(between(plane, column, row), window), to, to + 3)
        to += 3
      }
    }
  }
  const outline = (mask: Uint8Array, colour: readonly number[], isDashed: boolean): void => {
    for (const border of contours(classesOf(mask, columns, rows), width, height)) {
      border.forEach(({ inside, outside }, step) => {
        if (isDashed && step % dash.period >= dash.on) return
        data.set(colour, 3 * inside)
        if (outside >= 0) data.set(colour, 3 * outside)
      })
    }
  }
  outline(masks[0]!, sliceColours.reference, false)
  outline(masks[1]!, sliceColours.prediction, true)
  return { png: encode({ width, height, data, channels: 3, depth: 8 }), width, height, view: view.name }
}

type Extent = readonly [first: number, last: number]

/** Where the masks are, as voxels in the order of the picture: along its rows, and along its columns. */
function boxOf(masks: readonly Uint8Array[], { horizontal, vertical }: View, nx: number): [Extent, Extent] | undefined {
  const low = [Infinity, Infinity]
  const high = [-1, -1]
  for (const mask of masks) {
    for (let at = 0; at < mask.length; at++) {
      if (mask[at] === 0) continue
      // The axis whose stride is 1 is x.
      const [x, y] = [at % nx, Math.floor(at / nx)]
      for (const [i, axis] of [horizontal, vertical].entries()) {
        const voxel = axis.stride === 1 ? x : y
        const place = axis.isReversed ? axis.voxels - 1 - voxel : voxel
        low[i] = Math.min(low[i]!, place)
        high[i] = Math.max(high[i]!, place)
      }
    }
  }
  if (high[0]! < 0) return undefined
  return [
    [low[0]!, high[0]!],
    [low[1]!, high[1]!],
  ]
}

/** The part of an axis that is shown. */
function fieldOf({ voxels, spacingMm }: ViewAxis, extent: Extent | undefined): { from: number; length: number } {
  if (!extent) return { from: 0, length: voxels }
  const [first, last] = extent
  const wanted = Math.max((last + 1 - first) * spacingMm + 2 * margin, leastField)
  const length = Math.min(voxels, Math.ceil(wanted / spacingMm))
  const from = Math.round((first + last + 1 - length) / 2)
  return { from: Math.min(Math.max(from, 0), voxels - length), length }
}
