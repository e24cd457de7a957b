/** Which way the axes of a volume run, and turning them: flips and permutations, no interpolation. Follows nibabel. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Grid, Shape3, Slab, SpatialStep, Volume } from '../pipeline/grid.ts'
import { indexMap, multiply, nearestRotation } from './affine.ts'
import { lazyVolume, materialise, slabsOf } from './volume.ts'

/** For one voxel axis: the world axis it runs along (0 = left-right ...), and whether towards the positive end (R, A, S). */
export interface AxisOrientation {
  readonly world: number
  readonly sign: 1 | -1
}

/** nibabel's `io_orientation`: axes are assigned strongest first, by the rotation nearest to the affine. */
export function orientationOf(affine: readonly number[]): [AxisOrientation, AxisOrientation, AxisOrientation] {
  const r = nearestRotation(affine)
  const strength = (axis: number): number => Math.max(...[0, 1, 2].map(row => r[row * 3 + axis]! ** 2))
  const order = [0, 1, 2].toSorted((a, b) => strength(b) - strength(a))
  const free = new Set([0, 1, 2])
  const found: AxisOrientation[] = []
  for (const axis of order) {
    const world = [...free].reduce((best, row) =>
      Math.abs(r[row * 3 + axis]!) > Math.abs(r[best * 3 + axis]!) ? row : best,
    )
    free.delete(world)
    found[axis] = { world, sign: r[world * 3 + axis]! < 0 ? -1 : 1 }
  }
  return found as [AxisOrientation, AxisOrientation, AxisOrientation]
}

const letters = ['LR', 'PA', 'IS']

/** Where each voxel axis runs to, such as "LPS". */
export function axcodesOf(affine: readonly number[]): string {
  return orientationOf(affine)
    .map(({ world, sign }) => letters[world]![sign < 0 ? 0 : 1])
    .join('')
}

/** The orientations that three letters mean; ERR_DEFINITION unless each world axis is named once. */
export function orientationFromAxcodes(axcodes: string): AxisOrientation[] {
  const found = [...axcodes].map((letter): AxisOrientation => {
    const world = letters.findIndex(pair => pair.includes(letter))
    return { world, sign: world >= 0 && letters[world]!.startsWith(letter) ? -1 : 1 }
  })
  if (
    new Set(found.map(({ world }) => world)).size !== 3 ||
    found.length !== 3 ||
    found.some(({ world }) => world < 0)
  ) {
    throw new PipelineError(
      'ERR_DEFINITION',
      `expected three letters, one each of L/R, P/A and I/S, such as "RAS", found "${axcodes}"`,
    )
  }
  return found
}

/** The grid with its axes turned to `axcodes`; every voxel keeps its place in the world. */
export function orientedGrid(grid: Grid, axcodes: string): Grid {
  const target = orientationFromAxcodes(axcodes)
  const current = orientationOf(grid.affine)
  const shape = [0, 0, 0]
  const toSource: number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  for (let axis = 0; axis < 3; axis++) {
    const source = current.findIndex(({ world }) => world === target[axis]!.world)
    const flipped = current[source]!.sign !== target[axis]!.sign
    shape[axis] = grid.shape[source]!
    toSource[source * 4 + axis] = flipped ? -1 : 1
    toSource[source * 4 + 3] = flipped ? grid.shape[source]! - 1 : 0
  }
  return { shape: shape as unknown as Shape3, affine: multiply(grid.affine, toSource) }
}

/** The volume with its axes turned to `axcodes`, and the step that undoes it; untouched where they already run so. */
export function orient(volume: Volume, axcodes: string): { volume: Volume; step: SpatialStep | undefined } {
  const to = orientedGrid(volume.grid, axcodes)
  if (axcodesOf(volume.grid.affine) === axcodes) return { volume, step: undefined }
  return { volume: reorient(volume, to), step: { kind: 'orient', from: volume.grid, to } }
}

/**
 * The same voxels on a grid that differs by flips and permutations of axes. Streams where z stays z and runs the same
 * way; any other turn needs the whole volume and holds it, once, while it is pulled.
 */
export function reorient(volume: Volume, to: Grid): Volume {
  const { from, flipped } = axisMap(volume.grid, to)
  if (from.every((axis, i) => axis === i) && !flipped.includes(true)) return volume
  if (from[2] === 2 && !flipped[2]) {
    return lazyVolume(to, async function* (): AsyncGenerator<Slab> {
      for await (const slab of volume.slabs()) {
        const shape: Shape3 = [volume.grid.shape[0], volume.grid.shape[1], slab.planes]
        const voxels = permute(slab.voxels, shape, from, flipped)
        slab.release?.()
        yield { z: slab.z, planes: slab.planes, voxels, release: () => {} }
      }
    })
  }
  return lazyVolume(to, async function* (): AsyncGenerator<Slab> {
    const voxels = await materialise(volume)
    yield* slabsOf(to, permute(voxels, volume.grid.shape, from, flipped))
  })
}

/** For each axis of `to` the axis of `source` it is, and whether it runs backwards. */
export function axisMap(source: Grid, to: Grid): { from: number[]; flipped: boolean[] } {
  const map = indexMap(to, source)
  const axes = [0, 1, 2].map(axis => {
    const from = [0, 1, 2].reduce((best, row) =>
      Math.abs(map[row * 4 + axis]!) > Math.abs(map[best * 4 + axis]!) ? row : best,
    )
    return { from, flipped: map[from * 4 + axis]! < 0 }
  })
  return { from: axes.map(axis => axis.from), flipped: axes.map(axis => axis.flipped) }
}

/** A new array (z, y, x) whose axis i is axis `from[i]` of the source, backwards where `flipped[i]`. */
function permute(
  voxels: Float32Array,
  shape: Shape3,
  from: readonly number[],
  flipped: readonly boolean[],
): Float32Array {
  const strides = [1, shape[0], shape[0] * shape[1]]
  const [nx, ny, nz] = from.map(axis => shape[axis]!) as [number, number, number]
  const step = from.map((axis, i) => (flipped[i] ? -strides[axis]! : strides[axis]!)) as [number, number, number]
  const start = from.reduce((sum, axis, i) => sum + (flipped[i] ? strides[axis]! * (shape[axis]! - 1) : 0), 0)
  const turned = new Float32Array(voxels.length)
  let at = 0
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      let source = start + z * step[2] + y * step[1]
      for (let x = 0; x < nx; x++, source += step[0]) turned[at++] = voxels[source]!
    }
  }
  return turned
}
