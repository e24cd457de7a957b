/**
 * Boxes of elements seen in several tensors at once, each with strides of its own: broadcasting (stride 0), slices, transposed
 * axes and places in a larger tensor are all of this form. Code for any number of axes, compiled for their number after
 * neighbours that lie alike were made one; extents and strides are uniforms.
 */

import { sizeOf } from './kernel.ts'

/** Of a tensor: where the box begins, and how far apart neighbours along each axis are, in elements. */
export interface View {
  readonly offset: number
  readonly strides: readonly number[]
}

export interface StridedPlan {
  /** Elements that an invocation takes along the last axis. */
  readonly width: 1 | 4
  /** Per view, whether it is read in vectors where width is 4; the others repeat one element along the last axis. */
  readonly vectors: readonly boolean[]
  /** Invocations. */
  readonly size: number
  readonly key: string
  readonly uniforms: Readonly<Record<string, 'u32'>>
  readonly values: Readonly<Record<string, number>>
  /** WGSL that declares `at0`, `at1`... for the views, from `i`. */
  readonly places: string
}

/** Strides of a dense tensor. */
export function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)))
}

/** `shape` is the box's, without zeros. */
export function planStrided(shape: readonly number[], views: readonly View[]): StridedPlan {
  const axes = collapsed(shape, views)
  const last = axes.at(-1)!
  const vectors = last.strides.map(stride => stride === 1)
  const fits =
    last.extent % 4 === 0 &&
    last.strides.every(stride => stride <= 1) &&
    views.every(
      ({ offset }, v) =>
        !vectors[v] || (offset % 4 === 0 && axes.slice(0, -1).every(({ strides }) => strides[v]! % 4 === 0)),
    )
  const width = fits ? 4 : 1
  const inUnits = (value: number, v: number): number => (fits && vectors[v] ? value / 4 : value)

  const uniforms: Record<string, 'u32'> = { size: 'u32' }
  const values: Record<string, number> = { size: sizeOf(shape) / width }
  const put = (name: string, value: number): void => {
    uniforms[name] = 'u32'
    values[name] = value
  }
  const lines: string[] = ['  var rest = i;']
  const terms = views.map(({ offset }, v) => {
    put(`offset${v}`, inUnits(offset, v))
    return [`u.offset${v}`]
  })
  for (let axis = axes.length - 1; axis >= 0; axis--) {
    const { extent, strides } = axes[axis]!
    const isLast = axis === axes.length - 1
    if (axis > 0) {
      put(`extent${axis}`, isLast ? extent / width : extent)
      lines.push(`  let c${axis} = rest % u.extent${axis};`, `  rest /= u.extent${axis};`)
    } else lines.push('  let c0 = rest;')
    strides.forEach((stride, v) => {
      put(`stride${v}_${axis}`, isLast ? stride : inUnits(stride, v))
      terms[v]!.push(`c${axis} * u.stride${v}_${axis}`)
    })
  }
  terms.forEach((sum, v) => lines.push(`  let at${v} = ${sum.join(' + ')};`))
  const kinds = fits ? vectors.map(isVector => (isVector ? 'v' : 's')).join('') : ''
  return {
    width,
    vectors: fits ? vectors : vectors.map(() => false),
    size: values['size']!,
    key: `${axes.length}${kinds}`,
    uniforms,
    values,
    places: lines.join('\n'),
  }
}

interface Axis {
  readonly extent: number
  /** Of each view. */
  readonly strides: readonly number[]
}

/** Without axes of one element; axes that go on where the next one ends, in all views, are one with it. At least one axis. */
function collapsed(shape: readonly number[], views: readonly View[]): Axis[] {
  const axes: Axis[] = []
  shape.forEach((extent, axis) => {
    if (extent === 1) return
    const strides = views.map(view => view.strides[axis]!)
    const before = axes.at(-1)
    if (before?.strides.every((stride, v) => stride === extent * strides[v]!))
      axes[axes.length - 1] = { extent: before.extent * extent, strides }
    else axes.push({ extent, strides })
  })
  return axes.length > 0 ? axes : [{ extent: 1, strides: views.map(() => 1) }]
}
