/** Which lung a voxel lies in, from masks of the lungs as segmentation programs write them. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Mask } from '../pipeline/flow.ts'
import type { Shape3, Volume } from '../pipeline/grid.ts'
import type { Affine } from './affine.ts'
import { ComponentMarks } from './component-marks.ts'
import type { Component } from './components.ts'
import { Largest } from './keep-components.ts'
import { maskOfPlanes, type MaskMaking, type OwnedMask } from './mask.ts'
import { planesOf } from './volume.ts'

/** Values of the patient's lungs in a mask. */
export interface LungValues {
  readonly right: readonly number[]
  readonly left: readonly number[]
}

/** As lungmask writes them. */
const usualLungValues: LungValues = { right: [1], left: [2] }

/** Classes of the masks that `lungSides` makes. */
export const lungClass = { outside: 0, right: 1, left: 2 } as const

export interface LungOptions extends MaskMaking {
  /**
   * What the values mean. Left out they are the usual ones, and a mask with one value only, whatever it is, holds both lungs
   * and is split.
   */
  readonly values: LungValues | undefined
  /** The file, for messages. */
  readonly name: string
}

/**
 * A mask of the same grid with 1 in the right lung and 2 in the left one. Pulls the volume once. ERR_LABEL for a value that is
 * neither.
 *
 * Both lungs of a mask with one value: where its second largest component has at least a tenth of the largest one's voxels,
 * these two are the lungs, and other voxels belong to the side of the plane halfway between their centres on which they lie.
 * Otherwise the lungs hang together, and the plane goes through the middle of their extent. Sides are those of the world's x,
 * which grows towards the patient's right.
 */
export async function lungSides(volume: Volume, options: LungOptions): Promise<OwnedMask> {
  const { mask, found } = await storedMask(volume, options)
  const isSplit = options.values === undefined && found.length === 1
  try {
    const given = isSplit ? both(mask, volume.grid.affine, options) : named(mask, found, options)
    return await given
  } finally {
    mask.close()
  }
}

/** The file's values as they are, and which of them occur beside 0. */
async function storedMask(
  volume: Volume,
  { name, ...making }: LungOptions,
): Promise<{ mask: OwnedMask; found: number[] }> {
  const { shape } = volume.grid
  const occurs = new Uint8Array(256)
  async function* planes(): AsyncGenerator<Uint8Array> {
    let z = 0
    for await (const plane of planesOf(volume)) {
      yield Uint8Array.from(plane, (value, at) => {
        if (!(value >= 0 && value < 256 && Math.floor(value) === value)) throw strange(name, value, at, z, shape)
        occurs[value] = 1
        return value
      })
      z++
    }
  }
  const mask = await maskOfPlanes(shape, planes(), making)
  return { mask, found: [...occurs.keys()].filter(value => value > 0 && occurs[value]) }
}

function strange(name: string, value: number, at: number, z: number, [nx]: Shape3): PipelineError {
  return new PipelineError(
    'ERR_LABEL',
    `${name}: expected whole numbers from 0 to 255 in a mask of the lungs, found ${value} at voxel (${at % nx}, ${Math.floor(at / nx)}, ${z})`,
    { value },
  )
}

async function named(
  mask: Mask,
  found: readonly number[],
  { values, name, scratch, pause }: LungOptions,
): Promise<OwnedMask> {
  const { right, left } = values ?? usualLungValues
  const classes = new Uint8Array(256)
  for (const value of right) classes[value] = lungClass.right
  for (const value of left) classes[value] = lungClass.left
  const unknown = found.filter(value => classes[value] === 0)
  if (unknown.length > 0) {
    throw new PipelineError(
      'ERR_LABEL',
      `${name}: expected 0 and the lungs' values, right ${right.join(', ')} and left ${left.join(', ')}, found ${unknown.join(', ')} too; say with "lungs" of "save" which values are lungs`,
      { unknown },
    )
  }
  return remade(mask, { scratch, pause }, z => mask.plane(z).map(value => classes[value]!))
}

async function both(mask: Mask, affine: Affine, { scratch, pause }: LungOptions): Promise<OwnedMask> {
  const largest = new Largest(2)
  let marks = 0
  const given = await ComponentMarks.of(mask.shape, z => mask.runs(z), {
    connectivity: 26,
    mark: component => (largest.offer(component, marks + 1) ? ++marks : 0),
    scratch,
    pause,
  })
  try {
    const [first, second] = largest.components as [Component, Component | undefined]
    const worldX = ([x, y, z]: readonly [number, number, number]): number =>
      affine[0]! * x + affine[1]! * y + affine[2]! * z + affine[3]!
    const isPair = second !== undefined && second.voxels * 10 >= first.voxels
    const middle = isPair ? (worldX(first.centre) + worldX(second.centre)) / 2 : middleOf(mask, worldX)
    const sideOf = (x: number): number => (x > middle ? lungClass.right : lungClass.left)
    const sides = new Map<number, number>()
    if (isPair) largest.marks.forEach((mark, i) => sides.set(mark, sideOf(worldX(largest.components[i]!.centre))))
    const planes = given.planes()
    const [nx, ny] = mask.shape
    return await remade(mask, { scratch, pause }, z => {
      const { from, to } = mask.runs(z)
      const plane = new Uint8Array(nx * ny)
      const marked = planes.next().value as Uint32Array
      for (let i = 0; i < from.length; i++) {
        const side = sides.get(marked[i]!)
        if (side !== undefined) plane.fill(side, from[i], to[i])
        else for (let at = from[i]!; at < to[i]!; at++) plane[at] = sideOf(worldX([at % nx, Math.floor(at / nx), z]))
      }
      return plane
    })
  } finally {
    given.close()
  }
}

/** The middle of a mask's extent along the world's x. */
function middleOf(mask: Mask, worldX: (voxel: readonly [number, number, number]) => number): number {
  const [nx, , nz] = mask.shape
  let [low, high] = [Infinity, -Infinity]
  for (let z = 0; z < nz; z++) {
    const { from, to } = mask.runs(z)
    for (let i = 0; i < from.length; i++) {
      const y = Math.floor(from[i]! / nx)
      // Along a run x only grows or only falls.
      for (const at of [from[i]!, to[i]! - 1]) {
        const x = worldX([at - y * nx, y, z])
        low = Math.min(low, x)
        high = Math.max(high, x)
      }
    }
  }
  return (low + high) / 2
}

function remade({ shape }: Mask, making: MaskMaking, planeOf: (z: number) => Uint8Array): Promise<OwnedMask> {
  function* planes(): Generator<Uint8Array> {
    for (let z = 0; z < shape[2]; z++) yield planeOf(z)
  }
  return maskOfPlanes(shape, planes(), making)
}
