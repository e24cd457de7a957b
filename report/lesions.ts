/** What a mask says in numbers: for each class voxels, millilitres, lesions and the largest of them. */

import { apply, determinant, type Affine } from '../imaging/affine.ts'
import { eachComponent, type Component } from '../imaging/components.ts'
import { isLarger } from '../imaging/keep-components.ts'
import type { Mask } from '../pipeline/flow.ts'

export interface ClassLesions {
  readonly value: number
  readonly voxels: number
  /** Components of voxels that share a face, an edge or a corner. */
  readonly lesions: number
  /** Of equal ones the first in the file. */
  readonly largest?: Component
}

/** For each class from 1 up, those that do not occur among them. */
export async function lesionsOf(mask: Mask, classes: number, pause: () => Promise<void>): Promise<ClassLesions[]> {
  const found: ClassLesions[] = Array.from({ length: classes - 1 }, (_, i) => ({
    value: i + 1,
    voxels: 0,
    lesions: 0,
  }))
  await eachComponent(mask, 26, pause, component => {
    const { voxels, lesions, largest, value } = found[component.value - 1]!
    found[component.value - 1] = {
      value,
      voxels: voxels + component.voxels,
      lesions: lesions + 1,
      largest: largest && !isLarger(component, largest) ? largest : component,
    }
  })
  return found
}

/** The largest lesion of any class; `undefined` where there is none. */
export function largestOf(found: readonly ClassLesions[]): Component | undefined {
  const all = found.flatMap(({ largest }) => largest ?? [])
  return all.reduce<Component | undefined>((best, each) => (best && !isLarger(each, best) ? best : each), undefined)
}

/** Millilitres of a voxel. */
export function voxelMlOf(affine: Affine): number {
  return Math.abs(determinant(affine)) / 1000
}

/** The same for people and programs: by class, with volumes in ml and the largest lesion's centre of mass in mm, RAS+. */
export function describeLesions(found: readonly ClassLesions[], affine: Affine): object {
  const ml = voxelMlOf(affine)
  const classes = found.map(({ value, voxels, lesions, largest }) => [
    value,
    {
      voxels,
      ml: voxels * ml,
      lesions,
      largest: largest
        ? { voxels: largest.voxels, ml: largest.voxels * ml, centreMm: apply(affine, ...largest.centre) }
        : null,
    },
  ])
  const voxels = found.reduce((sum, each) => sum + each.voxels, 0)
  return { classes: Object.fromEntries(classes) as object, totalMl: voxels * ml }
}
