/** Pairs of small masks (z, y, x) that surfaces are measured on, the awkward ones among them. */

import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'

export interface NamedPair {
  readonly name: string
  readonly shape: Shape3
  readonly spacing: readonly [number, number, number]
  readonly prediction: Uint8Array
  readonly reference: Uint8Array
}

export function maskWhere(shape: Shape3, inside: (x: number, y: number, z: number) => boolean): Uint8Array {
  const [nx, ny, nz] = shape
  const mask = new Uint8Array(nx * ny * nz)
  let at = 0
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) mask[at++] = inside(x, y, z) ? 1 : 0
  }
  return mask
}

const spacings = [
  [0.8, 0.8, 5],
  [0.7421875, 0.7421875, 1.25],
  [3.3, 0.11, 1],
  [1, 1, 1],
] as const

/** Noise of several densities, boxes on every border, single voxels, full and flat volumes; none of them empty. */
export function awkwardPairs(): NamedPair[] {
  const draws = rng(5, 0, 0, 'awkward masks')
  const pairs: NamedPair[] = []
  const add = (name: string, shape: Shape3, prediction: Uint8Array, reference: Uint8Array): void => {
    const spacing = spacings[pairs.length % spacings.length]!
    pairs.push({ name: `${name} ${shape.join('x')} [${spacing.join(', ')}]`, shape, spacing, prediction, reference })
  }
  for (const density of [0.02, 0.1, 0.4, 0.8]) {
    for (const shape of [
      [7, 9, 6],
      [12, 5, 3],
      [1, 11, 8],
      [6, 1, 1],
    ] as const) {
      const noise = (): Uint8Array => {
        const mask = maskWhere(shape, () => draws.uniform() < density)
        mask[draws.integer(mask.length)] = 1
        return mask
      }
      add(`noise ${density}`, shape, noise(), noise())
    }
  }
  const shape: Shape3 = [8, 7, 6]
  const full = maskWhere(shape, () => true)
  const one = maskWhere(shape, (x, y, z) => x === 0 && y === 0 && z === 0)
  const opposite = maskWhere(shape, (x, y, z) => x === 7 && y === 6 && z === 5)
  add('full and full', shape, full, full)
  add('full and one corner', shape, full, one)
  add('one corner and full', shape, one, full)
  add('opposite corners', shape, one, opposite)
  add(
    'one voxel in the middle and full',
    shape,
    maskWhere(shape, (x, y, z) => x === 4 && y === 3 && z === 2),
    full,
  )
  for (const axis of [0, 1, 2] as const) {
    const half = (low: boolean): Uint8Array =>
      maskWhere(shape, (...at) => (low ? at[axis] < 4 : at[axis] >= shape[axis] - 3))
    add(`halves along axis ${axis}`, shape, half(true), half(false))
    add(
      `low half along axis ${axis} and an inner block`,
      shape,
      half(true),
      maskWhere(shape, (...at) => at.every(i => i > 1 && i < 5)),
    )
  }
  return pairs
}
