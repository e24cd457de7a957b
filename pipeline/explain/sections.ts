/** A section of the data set as it passes its stages: extents and bytes, over all its cases. */

import type { Key } from '../flow.ts'
import type { Shape3 } from '../grid.ts'
import type { Plan } from '../planned.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import type { StageTransform } from './transforms.ts'

/** Extents over the cases, the least and the most of each axis by itself. */
export interface ShapeRange {
  readonly least: Shape3
  readonly most: Shape3
  /** False where only voxels can tell: then these are the largest they can be. */
  readonly isExact: boolean
}

export interface Range {
  readonly least: number
  readonly most: number
}

export interface StageReport extends StageTransform {
  /** As they leave the stage, by volume; a mask is the `prediction`. */
  readonly volumes: { readonly [K in Key]?: ShapeRange }
  /** Where it makes patches. */
  readonly patch?: { readonly shape: Shape3; readonly perCase: number }
  /** Where it shows the network windows. */
  readonly windows?: { readonly shape: Shape3; readonly perCase: Range }
  /** Most bytes that live at once for a case in this stage or one before it. */
  readonly bytes: Range | null
}

export interface SectionReport {
  readonly name: string
  readonly cases: number
  readonly failed: number
  /** What files hold, before the first stage. */
  readonly files: { readonly [K in Key]?: ShapeRange }
  readonly stages: readonly StageReport[]
}

export function describeSection(
  { name, cases, failures }: PlannedSection,
  transforms: readonly StageTransform[],
): SectionReport {
  return {
    name,
    cases: cases.length + failures.length,
    failed: failures.length,
    files: filesOf(cases),
    stages: transforms.map((transform, i) =>
      describeStage(
        transform,
        cases.map(({ plans }) => plans[i]!),
      ),
    ),
  }
}

const keys: readonly Key[] = ['image', 'label', 'prediction']

function describeStage(transform: StageTransform, plans: readonly Plan[]): StageReport {
  const volumes = Object.fromEntries(
    keys.flatMap(key => {
      const found = plans.flatMap(plan => plan.volumes[key] ?? [])
      if (found.length === 0) return []
      const isExact = found.every(volume => volume.isExact)
      return [[key, { ...rangeOf(found.map(({ grid }) => grid.shape)), isExact }]]
    }),
  )
  const patch = transform.gives === 'patch' ? plans[0]?.patch : undefined
  const windows = transform.kind === 'infer' ? plans.flatMap(plan => plan.windows ?? []) : []
  return {
    ...transform,
    volumes,
    ...(patch && { patch: { shape: patch, perCase: plans[0]!.items } }),
    ...(windows.length > 0 && {
      windows: { shape: windows[0]!.shape, perCase: extremes(windows.map(({ count }) => count)) },
    }),
    bytes: plans.length > 0 ? extremes(plans.map(({ bytes }) => bytes)) : null,
  }
}

function filesOf(cases: readonly PlannedCase[]): SectionReport['files'] {
  return Object.fromEntries(
    keys.flatMap(key => {
      const shapes = cases.flatMap(({ files }) => files.filter(file => file.key === key).map(({ shape }) => shape))
      return shapes.length === 0 ? [] : [[key, { ...rangeOf(shapes), isExact: true }]]
    }),
  )
}

function rangeOf(shapes: readonly Shape3[]): Pick<ShapeRange, 'least' | 'most'> {
  const axes = ([0, 1, 2] as const).map(axis => extremes(shapes.map(shape => shape[axis])))
  return {
    least: axes.map(({ least }) => least) as unknown as Shape3,
    most: axes.map(({ most }) => most) as unknown as Shape3,
  }
}

/** Not by spreading into Math.min: a data set may be large. */
function extremes(values: readonly number[]): Range {
  return {
    least: values.reduce((a, b) => Math.min(a, b)),
    most: values.reduce((a, b) => Math.max(a, b)),
  }
}
