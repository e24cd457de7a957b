/** A picture of a scan with its lesions outlined: three planes side by side. */

import { encode } from 'fast-png'
import { maskPlanes, viewsOf, volumePlanes, type Planes, type View, type ViewAxis } from '../imaging/three-planes.ts'
import { notice } from '../pipeline/notice.ts'
import type { Mask } from '../pipeline/flow.ts'
import type { Grid, Shape3, Volume } from '../pipeline/grid.ts'
import { between, classesOf, greyOf, samples } from './plane-pixels.ts'

export interface PreviewOptions {
  /** The values that become black and white, HU. */
  readonly window: readonly [low: number, high: number]
}

/** Where the planes are: a voxel index, with fractions. */
export type Place = readonly [x: number, y: number, z: number]

/** Pixels along the longest edge of a view, at most; smaller ones have a pixel for the smallest distance of voxels. */
const mostPixels = 768

/** Pixels between views, and the grey around them. */
const gap = 4
const surround = 0

/** Colours of the outlines of class 1, 2 and so on; after the last one they begin again. */
export const outlineColours: readonly (readonly [r: number, g: number, b: number])[] = [
  [255, 64, 64],
  [64, 220, 64],
  [80, 160, 255],
  [255, 220, 0],
  [255, 96, 255],
  [0, 230, 230],
  [255, 150, 40],
]

/**
 * A PNG of the axial, coronal and sagittal plane through the voxel nearest to `place`, left to right, aligned at their tops.
 * Pixels are square in mm. Greys between voxels are linear; the outline is one pixel wide, inside the lesion. Pulls the scan,
 * which has the mask's grid, once.
 */
export async function preview(
  scan: Volume,
  mask: Mask,
  place: Place,
  options: PreviewOptions,
  pause: () => Promise<void>,
): Promise<Uint8Array> {
  const { grid } = scan
  const at = place.map((i, axis) => Math.min(Math.max(Math.round(i), 0), grid.shape[axis]! - 1)) as unknown as Shape3
  const greys = await volumePlanes(scan, at)
  const classes = await maskPlanes(mask, at, pause)
  const { width, height, views } = layoutOf(grid)
  const data = new Uint8Array(3 * width * height).fill(surround)
  for (const view of views) draw(data, width, view, greys, classes, options)
  const text = {
    Title: `axial, coronal and sagittal plane through voxel ${at.join(', ')}`,
    Description: "The patient's right is on the left; in front is left in the sagittal plane.",
    Disclaimer: notice,
  }
  return encode({ width, height, data, channels: 3, depth: 8, text })
}

/** The middle of a grid. */
export function middleOf({ shape }: Grid): Place {
  return [(shape[0] - 1) / 2, (shape[1] - 1) / 2, (shape[2] - 1) / 2]
}

/** Bytes of a preview at work, beside a slab of the scan: planes, picture, and what encoding makes of it. */
export function previewBytes(grid: Grid): number {
  const [nx, ny, nz] = grid.shape
  const { width, height } = layoutOf(grid)
  // The picture, the same with a filter's byte for each row, and the deflated one, which grows by doubling.
  return 5 * (nx * ny + nx * nz + ny * nz) + 6 * 3 * (width + 1) * (height + 1) + (1 << 20)
}

/** A view and where its picture is. */
interface Placed extends View {
  readonly left: number
  readonly width: number
  readonly height: number
}

function layoutOf(grid: Grid): { width: number; height: number; views: readonly Placed[] } {
  const views = viewsOf(grid)
  const axes = views.flatMap(({ horizontal, vertical }) => [horizontal, vertical])
  const finest = Math.min(...axes.map(({ spacingMm }) => spacingMm))
  const longest = Math.max(...axes.map(({ voxels, spacingMm }) => voxels * spacingMm))
  const pixelMm = Math.max(finest, longest / mostPixels)
  const pixels = ({ voxels, spacingMm }: ViewAxis): number => Math.max(1, Math.round((voxels * spacingMm) / pixelMm))
  let left = 0
  const placed = views.map((view): Placed => {
    const made = { ...view, left, width: pixels(view.horizontal), height: pixels(view.vertical) }
    left += made.width + gap
    return made
  })
  return { width: left - gap, height: Math.max(...placed.map(({ height }) => height)), views: placed }
}

function draw(
  data: Uint8Array,
  stride: number,
  view: Placed,
  greys: Planes<Float32Array>,
  classes: Planes<Uint8Array>,
  { window }: PreviewOptions,
): void {
  const { left, width, height, across } = view
  const columns = samples(view.horizontal, width)
  const rows = samples(view.vertical, height)
  const labels = classesOf(classes[across], columns, rows)
  const plane = greys[across]
  for (let v = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const at = v * width + u
      const to = 3 * (v * stride + left + u)
      if (isOutline(labels, width, height, u, v)) {
        data.set(outlineColours[(labels[at]! - 1) % outlineColours.length]!, to)
        continue
      }
      const value = between(plane, columns[u]!, rows[v]!)
      data.fill(greyOf(value, window), to, to + 3)
    }
  }
}

/** Whether a pixel of a class has one of its four neighbours outside of it, or none there. */
function isOutline(labels: Uint8Array, width: number, height: number, u: number, v: number): boolean {
  const at = v * width + u
  const label = labels[at]!
  if (label === 0) return false
  if (u === 0 || v === 0 || u === width - 1 || v === height - 1) return true
  return (
    labels[at - 1] !== label || labels[at + 1] !== label || labels[at - width] !== label || labels[at + width] !== label
  )
}
