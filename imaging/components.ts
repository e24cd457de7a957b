/**
 * Connected components over the runs of planes that follow each other: union-find on the runs of one plane and the components
 * that reach it. Components that no longer reach are told and forgotten, so memory is that of two planes, however many follow.
 */

import type { Mask, PlaneRuns } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'

/** How many neighbours a voxel has: those that share a face, an edge too, or a corner too. */
export type Connectivity = 6 | 18 | 26

/** A component, once it is whole. */
export interface Component {
  /** Its class. */
  readonly value: number
  readonly voxels: number
  /** Its first voxel in the order of the file, as (z * ny + y) * nx + x. */
  readonly first: number
  /** Where its voxels are on average, as a voxel index with fractions. */
  readonly centre: readonly [number, number, number]
  /** Whether it has a voxel on a face of the volume. */
  readonly isOnBorder: boolean
}

/** What a component is remembered by: an integer from 0. */
export type Mark = number

export interface PlaneLabels {
  /** For each run of the plane its component, 0 to count - 1. */
  readonly labels: Uint32Array
  readonly count: number
  /** For each component of the plane before: which one of this plane it is; where it has ended, ~mark, which is negative. */
  readonly links: Int32Array
}

/** Most bytes that a sweep holds for planes of at most so many runs, the runs themselves among them. */
export function sweepBytes([, ny]: Shape3, runs: number): number {
  // Of two planes runs (9), labels (4) and sums (42) each; parents and new numbers of both at once.
  return (2 * (9 + 4 + 42) + 2 * 8) * runs + 8 * ny
}

/** Most runs that a plane can have with these many classes, the background among them. */
export function mostRuns([nx, ny]: Shape3, classes: number): number {
  return (classes > 2 ? nx : Math.ceil(nx / 2)) * ny
}

/**
 * Fewest voxels that have the volume. Affines are often float32: a component of 1000 voxels of 0.7 mm has its 343 mm3, though
 * the product says 342.99998.
 */
export function minimumVoxels(minimumMm3: number | undefined, voxelMm3: number): number {
  return minimumMm3 === undefined ? 0 : Math.ceil((minimumMm3 / voxelMm3) * (1 - 1e-6))
}

/** Goes through consecutive planes, up or down, and joins what touches and has one class. */
export class Sweep {
  readonly #shape: Shape3
  readonly #connectivity: Connectivity
  readonly #ended: (component: Component) => Mark
  #before: Layer
  #sums: Sums

  /** `ended` is told of each component when it is whole, and gives its mark. */
  constructor(shape: Shape3, connectivity: Connectivity, ended: (component: Component) => Mark) {
    this.#shape = shape
    this.#connectivity = connectivity
    this.#ended = ended
    this.#before = { runs: noRuns, rows: new Uint32Array(shape[1] + 1), labels: new Uint32Array(0) }
    this.#sums = new Sums(0)
  }

  /** The next plane. */
  next(z: number, runs: PlaneRuns): PlaneLabels {
    const [before, base] = [this.#before, this.#sums.count]
    const n = runs.from.length
    // Nodes are the components of the plane before, and then the runs of this one.
    const parents = new Uint32Array(base + n)
    for (let i = 0; i < parents.length; i++) parents[i] = i
    const nodes = parents.slice(base)
    const plane = { runs, rows: rowsOf(runs, this.#shape), labels: nodes }
    this.#join(parents, plane, before)
    const numbers = new Int32Array(base + n).fill(-1)
    const labels = nodes
    let count = 0
    for (let i = 0; i < n; i++) {
      const root = find(parents, base + i)
      if (numbers[root]! < 0) numbers[root] = count++
      labels[i] = numbers[root]!
    }
    const sums = new Sums(count)
    const links = new Int32Array(base)
    for (let i = 0; i < base; i++) {
      const number = numbers[find(parents, i)]!
      links[i] = number < 0 ? ~this.#ended(this.#sums.component(i)) : number
      if (number >= 0) sums.merge(number, this.#sums, i)
    }
    sums.addPlane(runs, labels, z, this.#shape)
    this.#before = plane
    this.#sums = sums
    return { labels, count, links }
  }

  /** Behind the last plane: the links of its components, all of which have ended. */
  end(): Int32Array {
    return this.next(0, noRuns).links
  }

  #join(parents: Uint32Array, plane: Layer, before: Layer): void {
    const [nx, ny] = this.#shape
    const [diagonal, corner] = [this.#connectivity >= 18 ? 1 : 0, this.#connectivity === 26 ? 1 : 0]
    for (let y = 0; y < ny; y++) {
      if (plane.rows[y] === plane.rows[y + 1]) continue
      if (y > 0) joinRows(parents, plane, y, plane, y - 1, nx, diagonal)
      if (before.runs.from.length === 0) continue
      joinRows(parents, plane, y, before, y, nx, diagonal)
      if (diagonal === 0) continue
      if (y > 0) joinRows(parents, plane, y, before, y - 1, nx, corner)
      if (y + 1 < ny) joinRows(parents, plane, y, before, y + 1, nx, corner)
    }
  }
}

/** Tells of each component of the mask when it is whole: in the order in which they end, from plane 0 up. */
export async function eachComponent(
  mask: Mask,
  connectivity: Connectivity,
  pause: () => Promise<void>,
  found: (component: Component) => void,
): Promise<void> {
  const sweep = new Sweep(mask.shape, connectivity, component => {
    found(component)
    return 0
  })
  for (let z = 0; z < mask.shape[2]; z++) {
    sweep.next(z, mask.runs(z))
    await pause()
  }
  sweep.end()
}

/** The runs of a plane, where its rows begin among them (the last entry is the end), and a node or label for each. */
interface Layer {
  readonly runs: PlaneRuns
  readonly rows: Uint32Array
  readonly labels: Uint32Array
}

const noRuns: PlaneRuns = { from: new Uint32Array(0), to: new Uint32Array(0), value: new Uint8Array(0) }

function rowsOf({ from }: PlaneRuns, [nx, ny]: Shape3): Uint32Array {
  const rows = new Uint32Array(ny + 1)
  for (let y = 0, i = 0; y <= ny; y++) {
    while (i < from.length && from[i]! < y * nx) i++
    rows[y] = i
  }
  return rows
}

/**
 * Unites runs of one class in row `ya` of `a` and row `yb` of `b` that overlap, or, with `reach` 1, lie next to an overlap.
 * Within its row a run touches no other of its class.
 */
function joinRows(parents: Uint32Array, a: Layer, ya: number, b: Layer, yb: number, nx: number, reach: number): void {
  const { from: aFrom, to: aTo, value: aValue } = a.runs
  const { from: bFrom, to: bTo, value: bValue } = b.runs
  const shift = (ya - yb) * nx
  const [iEnd, jEnd] = [a.rows[ya + 1]!, b.rows[yb + 1]!]
  let i = a.rows[ya]!
  let j = b.rows[yb]!
  const join = (i: number, j: number): void => {
    if (aValue[i] !== bValue[j]) return
    if (aFrom[i]! < bTo[j]! + shift + reach && bFrom[j]! + shift < aTo[i]! + reach)
      unite(parents, a.labels[i]!, b.labels[j]!)
  }
  while (i < iEnd && j < jEnd) {
    join(i, j)
    const ends = aTo[i]! - (bTo[j]! + shift)
    // Two that end together each reach what begins there in the other row.
    if (ends === 0 && reach > 0) {
      if (j + 1 < jEnd) join(i, j + 1)
      if (i + 1 < iEnd) join(i + 1, j)
    }
    if (ends <= 0) i++
    if (ends >= 0) j++
  }
}

function find(parents: Uint32Array, node: number): number {
  let at = node
  while (parents[at] !== at) at = parents[at] = parents[parents[at]!]!
  return at
}

function unite(parents: Uint32Array, a: number, b: number): void {
  const [p, q] = [find(parents, a), find(parents, b)]
  if (p < q) parents[q] = p
  else parents[p] = q
}

/** What is known so far of the components that reach a plane. */
class Sums {
  readonly count: number
  readonly #value: Uint8Array
  readonly #isOnBorder: Uint8Array
  readonly #first: Float64Array
  /** Voxels, and the sums of their x, y and z: whole numbers far below 2^53. */
  readonly #sums: Float64Array

  constructor(count: number) {
    this.count = count
    this.#value = new Uint8Array(count)
    this.#isOnBorder = new Uint8Array(count)
    this.#first = new Float64Array(count).fill(Infinity)
    this.#sums = new Float64Array(4 * count)
  }

  /** Component `from` of the plane before is part of this plane's `to`. */
  merge(to: number, before: Sums, from: number): void {
    this.#isOnBorder[to]! |= before.#isOnBorder[from]!
    this.#first[to] = Math.min(this.#first[to]!, before.#first[from]!)
    for (let k = 0; k < 4; k++) this.#sums[4 * to + k]! += before.#sums[4 * from + k]!
  }

  addPlane({ from, to, value }: PlaneRuns, labels: Uint32Array, z: number, [nx, ny, nz]: Shape3): void {
    const isEndPlane = z === 0 || z === nz - 1
    for (let i = 0; i < from.length; i++) {
      const label = labels[i]!
      const start = from[i]!
      const voxels = to[i]! - start
      const y = Math.floor(start / nx)
      const x = start - y * nx
      const beyond = x + voxels
      this.#value[label] = value[i]!
      if (isEndPlane || y === 0 || y === ny - 1 || x === 0 || beyond === nx) this.#isOnBorder[label] = 1
      this.#first[label] = Math.min(this.#first[label]!, z * ny * nx + start)
      this.#sums[4 * label]! += voxels
      this.#sums[4 * label + 1]! += (voxels * (x + beyond - 1)) / 2
      this.#sums[4 * label + 2]! += voxels * y
      this.#sums[4 * label + 3]! += voxels * z
    }
  }

  component(i: number): Component {
    const voxels = this.#sums[4 * i]!
    const mean = (axis: number): number => this.#sums[4 * i + axis]! / voxels
    return {
      value: this.#value[i]!,
      voxels,
      first: this.#first[i]!,
      centre: [mean(1), mean(2), mean(3)],
      isOnBorder: this.#isOnBorder[i] === 1,
    }
  }
}
