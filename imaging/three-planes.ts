/** The three planes of a volume that go through one of its voxels, and how they are looked at. */

import type { Mask } from '../pipeline/flow.ts'
import type { Grid, Shape3, Volume } from '../pipeline/grid.ts'
import { spacingOf } from './affine.ts'
import { orientationOf } from './orient.ts'
import { planesOf } from './volume.ts'

/** For each voxel axis the plane across it, the earlier of the two other axes fastest. */
export type Planes<Values> = readonly [acrossX: Values, acrossY: Values, acrossZ: Values]

export type ViewName = 'axial' | 'coronal' | 'sagittal'

/** How a plane is looked at: what runs along the rows and columns of its picture. */
export interface View {
  readonly name: ViewName
  /** The voxel axis that the plane lies across. */
  readonly across: 0 | 1 | 2
  readonly horizontal: ViewAxis
  readonly vertical: ViewAxis
}

export interface ViewAxis {
  readonly voxels: number
  readonly spacingMm: number
  /** From one voxel to the next in the plane's array. */
  readonly stride: number
  /** Whether the picture runs against the array. */
  readonly isReversed: boolean
}

/**
 * Axial, coronal and sagittal, along the voxel axes nearest to them. By radiological convention: the patient's right is on
 * the left, in front is up in an axial picture and left in a sagittal one, the head is up in the others.
 */
export function viewsOf(grid: Grid): readonly View[] {
  const orientation = orientationOf(grid.affine)
  const spacing = spacingOf(grid.affine)
  const axisOf = (world: number): 0 | 1 | 2 => orientation.findIndex(axis => axis.world === world) as 0 | 1 | 2
  const view = (name: ViewName, across: number, horizontal: number, vertical: number): View => {
    const plane = axisOf(across)
    const along = (world: number): ViewAxis => {
      const axis = axisOf(world)
      const fastest = plane === 0 ? 1 : 0
      return {
        voxels: grid.shape[axis],
        spacingMm: spacing[axis],
        stride: axis === fastest ? 1 : grid.shape[fastest],
        // Pictures run to the patient's left, back and feet; the world's axes to right, front and head.
        isReversed: orientation[axis]!.sign > 0,
      }
    }
    return { name, across: plane, horizontal: along(horizontal), vertical: along(vertical) }
  }
  return [view('axial', 2, 0, 1), view('coronal', 1, 0, 2), view('sagittal', 0, 1, 2)]
}

/** Pulls the volume once, and keeps three planes of it. */
export async function volumePlanes(volume: Volume, at: Shape3): Promise<Planes<Float32Array>> {
  const planes = emptyPlanes(volume.grid.shape, length => new Float32Array(length))
  let z = 0
  for await (const plane of planesOf(volume)) keep(planes, plane, volume.grid.shape, at, z++)
  return planes
}

/** The same of a mask. */
export async function maskPlanes(mask: Mask, at: Shape3, pause: () => Promise<void>): Promise<Planes<Uint8Array>> {
  const planes = emptyPlanes(mask.shape, length => new Uint8Array(length))
  for (let z = 0; z < mask.shape[2]; z++) {
    keep(planes, mask.plane(z), mask.shape, at, z)
    await pause()
  }
  return planes
}

function emptyPlanes<Values>([nx, ny, nz]: Shape3, make: (length: number) => Values): Planes<Values> {
  return [make(ny * nz), make(nx * nz), make(nx * ny)]
}

/** Takes from plane z (y, x) what belongs to the planes through a voxel. */
function keep<Values extends Float32Array | Uint8Array>(
  [acrossX, acrossY, acrossZ]: Planes<Values>,
  plane: Values,
  [nx, ny]: Shape3,
  [x, y, z]: Shape3,
  at: number,
): void {
  for (let j = 0; j < ny; j++) acrossX[at * ny + j] = plane[j * nx + x]!
  acrossY.set(plane.subarray(y * nx, (y + 1) * nx), at * nx)
  if (at === z) acrossZ.set(plane)
}
