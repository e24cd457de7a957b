/**
 * The webgpu backend's convolutions and their gradients against float64, on SwiftShader: a few of each tile, shape and
 * form, all of a long list with CTFLOW_SWEEP=1.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor } from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, outputShape, type Shape5 } from '../../reference/conv3d.ts'
import { skipped, withBackend } from '../../support/backends.ts'
import { normals, relativeDistance } from '../../support/numbers.ts'

type Triple = readonly [number, number, number]

interface Case {
  readonly batch: number
  readonly size: Triple
  readonly ci: number
  readonly co: number
  readonly kernel: Triple
  readonly stride: Triple
  readonly pad: number
  /** Groups of a norm in front. */
  readonly groups?: number
}

const skip = skipped('webgpu')
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
const cube = (n: number): Triple => [n, n, n]

/** Kernel, stride, padding: those of the network first. */
const forms: readonly (readonly [Triple, Triple, number])[] = [
  [cube(3), cube(1), 1],
  [cube(3), cube(2), 1],
  [cube(1), cube(1), 0],
  [cube(3), cube(1), 0],
  [cube(5), cube(1), 2],
  [cube(1), cube(2), 0],
  [cube(2), cube(2), 0],
  [cube(3), cube(3), 1],
  [[1, 3, 2], [1, 2, 1], 1],
  [[3, 1, 5], [1, 1, 2], 2],
]

/** Odd numbers, and those of the network; every third with a norm in front. */
const channels: readonly (readonly [ci: number, co: number, groups?: number])[] = [
  [8, 8, 8],
  [1, 8],
  [16, 8],
  [8, 16, 4],
  [2, 1],
  [3, 5, 3],
  [9, 12],
  [24, 7, 8],
  [1, 3],
  [33, 4, 11],
  [64, 33],
]

const extents = [7, 5, 1, 3, 2, 17, 30]

const all: Case[] = channels.flatMap(([ci, co, groups], i) =>
  forms.map(([kernel, stride, pad], j) => ({
    batch: 1 + ((i + j) % 2),
    size: [extents[(i + j) % 5]!, extents[(i + 2 * j + 1) % 6]!, extents[(3 * i + j) % 7]!] as const,
    ci,
    co,
    kernel,
    stride,
    pad,
    ...(groups && { groups }),
  })),
)

const fits = (c: Case): boolean => c.size.every((n, axis) => n + 2 * c.pad >= c.kernel[axis]!)

/** What the network does, at its smallest, and one of each other form. */
const chosen = process.env['CTFLOW_SWEEP'] ? all : all.filter((_, i) => i % 7 === 0)

for (const c of chosen.filter(fits))
  onGpu(
    `${c.ci} to ${c.co} channels, ${c.batch} x ${c.size.join(' x ')}, kernel ${c.kernel.join(' x ')}, stride ${c.stride.join(', ')}, padding ${c.pad}${c.groups ? `, ${c.groups} groups` : ''}`,
    async t => compare(t, c),
  )

function onGpu(name: string, work: (t: Test) => Promise<void>): void {
  void t.test(name, { skip }, t => withBackend('webgpu', () => work(t)))
}

async function compare(t: Test, { batch, size: extent, ci, co, kernel, stride, pad, groups }: Case): Promise<void> {
  const xShape: Shape5 = [batch, ...extent, ci]
  const filterShape: Shape5 = [...kernel, ci, co]
  const yShape = outputShape(xShape, filterShape, stride, pad)
  const [x, filter] = [normals(size(xShape), 'x'), normals(size(filterShape), 'filter')]
  const [dy, residual] = [normals(size(yShape), 'dy'), normals(size(yShape), 'residual')]
  const attrs = { strides: [...stride], pad }
  const found = run('Conv3D', { x: [x, xShape], filter: [filter, filterShape] }, attrs)
  await close(t, 'y', found, conv3d(x, xShape, filter, filterShape, stride, pad).y)
  const dx = run(
    'Conv3DBackpropInputV2',
    { dy: [dy, yShape], filter: [filter, filterShape] },
    { ...attrs, inputShape: [...xShape] },
  )
  await close(t, 'dx', dx, conv3dInputGradient(dy, yShape, filter, filterShape, xShape, stride, pad))
  const dfilter = run(
    'Conv3DBackpropFilterV2',
    { x: [x, xShape], dy: [dy, yShape] },
    { ...attrs, filterShape: [...filterShape] },
  )
  await close(t, 'dfilter', dfilter, conv3dFilterGradient(x, xShape, dy, yShape, filterShape, stride, pad))
  if (groups === undefined) return
  const norm: Record<string, [Float32Array, readonly number[]]> = {
    mean: [normals(batch * groups, 'mean'), [batch, groups]],
    rstd: [normals(batch * groups, 'rstd'), [batch, groups]],
    gamma: [normals(ci, 'gamma'), [ci]],
    beta: [normals(ci, 'beta'), [ci]],
  }
  const normed = normalised(x, xShape, groups, norm)
  const inputs = { x: [x, xShape], filter: [filter, filterShape], ...norm } as Inputs
  const y = conv3d(normed, xShape, filter, filterShape, stride, pad).y
  await close(t, 'y behind a norm', run('NormReluConv3D', inputs, attrs), y)
  await close(
    t,
    'and with a residual',
    run('NormReluConv3D', { ...inputs, residual: [residual, yShape] }, attrs),
    y.map((value, i) => value + residual[i]!),
  )
  const behind = run(
    'NormReluConv3DBackpropFilter',
    { x: [x, xShape], dy: [dy, yShape], ...norm },
    { ...attrs, filterShape: [...filterShape] },
  )
  await close(
    t,
    'dfilter behind a norm',
    behind,
    conv3dFilterGradient(normed, xShape, dy, yShape, filterShape, stride, pad),
  )
}

type Inputs = Record<string, [ArrayLike<number>, readonly number[]]>

function run(name: string, inputs: Inputs, attrs: Record<string, unknown>): Tensor {
  return tf.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([key, [values, shape]]) => [key, tf.tensor(values as Float32Array, [...shape])]),
    )
    return tf.engine().runKernel(name, tensors, attrs as never) as Tensor
  })
}

async function close(t: Test, what: string, found: Tensor, expected: ArrayLike<number>): Promise<void> {
  const distance = relativeDistance(await found.data(), expected)
  found.dispose()
  t.ok(distance < 1e-5, `${what}: relative distance ${distance}`)
}

/** relu(GN(x)) in float64. */
function normalised(x: Float32Array, [batch, , , , ci]: Shape5, groups: number, norm: Inputs): Float64Array {
  const perSample = x.length / batch
  return Float64Array.from(x, (value, i) => {
    const channel = i % ci
    const group = Math.floor(i / perSample) * groups + Math.floor(channel / (ci / groups))
    const scale = norm['gamma']![0][channel]! * norm['rstd']![0][group]!
    return Math.max(0, (value - norm['mean']![0][group]!) * scale + norm['beta']![0][channel]!)
  })
}
