/** Dropping components of a mask that are small, or not among the largest of their class. */

import type { Mask } from '../pipeline/flow.ts'
import { ComponentMarks, type MarkOptions } from './component-marks.ts'
import type { Component, Mark } from './components.ts'
import { maskOfPlanes, paint, type OwnedMask } from './mask.ts'

export interface KeepOptions {
  /** Components of fewer voxels go. */
  readonly minimumVoxels: number
  /** Of each class so many are kept, the largest; of equal ones those whose first voxel comes first. Infinity: all. */
  readonly largest: number
}

/** A new mask with the components that stay; every other voxel is 0. */
export async function keepComponents(
  mask: Mask,
  { minimumVoxels, largest }: KeepOptions,
  options: Omit<MarkOptions, 'mark'>,
): Promise<OwnedMask> {
  const ranks = new Map<number, Largest>()
  const dropped: Mark = 0
  let next: Mark = 1
  const mark = (component: Component): Mark => {
    const { value, voxels } = component
    if (voxels < minimumVoxels) return dropped
    if (largest === Infinity) return next
    if (!ranks.has(value)) ranks.set(value, new Largest(largest))
    return ranks.get(value)!.offer(component, next) ? next++ : dropped
  }
  const marks = await ComponentMarks.of(mask.shape, z => mask.runs(z), { ...options, mark })
  function* left(): Generator<Uint8Array> {
    const staying = new Set(largest === Infinity ? [next] : [...ranks.values()].flatMap(rank => rank.marks))
    let z = 0
    for (const given of marks.planes()) {
      const { from, to, value } = mask.runs(z++)
      const classes = value.map((class_, i) => (staying.has(given[i]!) ? class_ : 0))
      yield paint({ from, to, value: classes }, new Uint8Array(mask.shape[0] * mask.shape[1]))
    }
  }
  try {
    return await maskOfPlanes(mask.shape, left(), options)
  } finally {
    marks.close()
  }
}

/** The n largest of the components that were offered; of equal ones those whose first voxel comes first. */
export class Largest {
  readonly #n: number
  /** Descending. */
  readonly #best: { readonly component: Component; readonly mark: Mark }[] = []

  constructor(n: number) {
    this.#n = n
  }

  /** Whether it is among them now; who no longer is then never will be again. */
  offer(component: Component, mark: Mark): boolean {
    const best = this.#best
    if (best.length === this.#n && !isLarger(component, best.at(-1)!.component)) return false
    const at = best.findIndex(other => isLarger(component, other.component))
    best.splice(at < 0 ? best.length : at, 0, { component, mark })
    if (best.length > this.#n) best.pop()
    return true
  }

  /** Of the largest first. */
  get components(): readonly Component[] {
    return this.#best.map(({ component }) => component)
  }

  /** As the components. */
  get marks(): readonly Mark[] {
    return this.#best.map(({ mark }) => mark)
  }
}

/** Whether a component is larger than another one, or as large and before it. */
export function isLarger(a: Component, b: Component): boolean {
  return a.voxels > b.voxels || (a.voxels === b.voxels && a.first < b.first)
}
