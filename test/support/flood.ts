/** Connected components by flooding voxel after voxel: slow, and nothing in common with what it is compared with. */

import type { Connectivity } from '../../imaging/components.ts'
import type { Shape3 } from '../../pipeline/grid.ts'

/** The voxels of each component of voxels of one value that `isIn` takes, each in ascending order, by first voxel. */
export function flood(
  shape: Shape3,
  voxels: Uint8Array,
  connectivity: Connectivity,
  isIn: (value: number) => boolean = value => value > 0,
): number[][] {
  const [nx, ny, nz] = shape
  const most = { 6: 1, 18: 2, 26: 3 }[connectivity]
  const steps: number[][] = []
  for (const dz of [-1, 0, 1])
    for (const dy of [-1, 0, 1])
      for (const dx of [-1, 0, 1]) {
        const distance = Math.abs(dx) + Math.abs(dy) + Math.abs(dz)
        if (distance > 0 && distance <= most) steps.push([dx, dy, dz])
      }
  const seen = new Uint8Array(voxels.length)
  const components: number[][] = []
  for (let start = 0; start < voxels.length; start++) {
    if (seen[start] || !isIn(voxels[start]!)) continue
    const component = [start]
    seen[start] = 1
    for (const at of component) {
      const [x, y, z] = [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))]
      for (const [dx, dy, dz] of steps as [number, number, number][]) {
        const [i, j, k] = [x + dx, y + dy, z + dz]
        if (i < 0 || j < 0 || k < 0 || i >= nx || j >= ny || k >= nz) continue
        const next = (k * ny + j) * nx + i
        if (seen[next] || voxels[next] !== voxels[start]) continue
        seen[next] = 1
        component.push(next)
      }
    }
    components.push(component.toSorted((a, b) => a - b))
  }
  return components
}

/** Volumes of many shapes and densities, with up to `classes` values: noise, boxes, shells. */
export function* awkwardVolumes(
  classes: number,
  random: { uniform(): number; integer(below: number): number },
): Generator<{ readonly name: string; readonly shape: Shape3; readonly voxels: Uint8Array }> {
  const shapes: readonly Shape3[] = [
    [1, 1, 1],
    [1, 9, 7],
    [11, 1, 6],
    [9, 8, 1],
    [1, 1, 12],
    [12, 1, 1],
    [7, 6, 5],
    [16, 9, 4],
    [3, 3, 3],
    [13, 11, 9],
  ]
  for (const shape of shapes) {
    const length = shape[0] * shape[1] * shape[2]
    for (const density of [0, 0.1, 0.35, 0.5, 0.8, 0.95, 1]) {
      const voxels = Uint8Array.from({ length }, () =>
        random.uniform() < density ? 1 + random.integer(classes - 1) : 0,
      )
      yield { name: `${shape.join('x')} at ${density}`, shape, voxels }
    }
    // Boxes one over the other, hollow ones among them.
    const voxels = new Uint8Array(length)
    for (let n = 0; n < 6; n++) {
      const low = shape.map(extent => random.integer(extent))
      const size = shape.map((extent, axis) => 1 + random.integer(extent - low[axis]!))
      const value = random.integer(classes)
      for (let at = 0; at < length; at++) {
        const place = [at % shape[0], Math.floor(at / shape[0]) % shape[1], Math.floor(at / (shape[0] * shape[1]))]
        if (place.every((i, axis) => i >= low[axis]! && i < low[axis]! + size[axis]!)) voxels[at] = value
      }
    }
    yield { name: `${shape.join('x')} boxes`, shape, voxels }
  }
}
