/** Convolutions that normalise their input as they read it and add a residual as they write. */

import t, { type Test } from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { rng } from '../../pipeline/random.ts'
import { conv3d, conv3dFilterGradient, outputShape, type Shape5 } from '../reference/conv3d.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

type Triple = [number, number, number]
type Case = readonly [batch: number, size: Triple, ci: number, co: number, kernel: number, stride: number]

const cases: readonly Case[] = [
  [1, [2, 3, 15], 8, 8, 3, 1],
  [2, [3, 2, 29], 8, 8, 3, 1],
  [2, [1, 11, 14], 16, 16, 3, 1],
  [1, [5, 3, 13], 32, 32, 3, 1],
  [2, [3, 5, 7], 64, 64, 3, 1],
  [2, [2, 3, 31], 8, 2, 1, 1],
  [2, [3, 2, 5], 19, 1, 1, 1],
  [2, [2, 5, 29], 33, 4, 1, 1],
  [2, [3, 3, 19], 72, 17, 1, 1],
  [1, [3, 4, 9], 16, 8, 3, 1],
  [2, [4, 4, 12], 8, 16, 3, 2],
  [1, [4, 7, 10], 8, 4, 3, 3],
  [2, [1, 1, 1], 1, 1, 3, 1],
  [2, [2, 3, 5], 3, 5, 3, 1],
  [1, [3, 2, 17], 17, 24, 3, 1],
]

t.test('norm, convolution and residual at once', { skip }, async t => {
  for (const c of cases) compare(t, c)
})

t.test('thirty shapes at random', { skip }, async t => {
  const draw = rng(7, 0, 0, 'norm-conv3d')
  const up = (most: number): number => 1 + draw.integer(most)
  for (let i = 0; i < 30; i++)
    compare(t, [up(3), [up(4), up(9), up(33)], up(18), up(18), draw.integer(2) * 2 + 1, up(2)])
})

const atOnce = [
  [8, 8, 3],
  [16, 16, 3],
  [24, 24, 3],
  [8, 2, 1],
  [40, 3, 1],
  [16, 8, 1],
  [72, 24, 1],
] as const

t.test('at once and one after the other give the same bits', { skip }, async t => {
  const addon = loadAddon()
  const before = addon.isa()
  for (const isa of addon.isas()) {
    addon.setIsa(isa)
    for (const [channels, co, kernel] of atOnce) {
      const what = `${isa}, ${channels} to ${co} channels, kernel ${kernel}`
      const [voxels, flat, pad] = [3 * 10 * 29, [2, 3 * 10 * 29, channels, 8], (kernel - 1) / 2]
      const shape = [2, 3, 10, 29, channels, kernel, kernel, kernel, 3, 10, 29, co, 1, 1, 1, pad, pad, pad]
      const [size, outputs] = [2 * voxels * channels, 2 * voxels * co]
      const [x, residual, dy] = [normals(size, 'x'), normals(outputs, 'residual'), normals(outputs, 'dy')]
      const [gamma, beta] = [normals(channels, 'gamma'), normals(channels, 'beta')]
      const filter = normals(kernel ** 3 * channels * co, 'filter')
      const [y, apart, together] = [unwritten(size), unwritten(outputs), unwritten(outputs)]
      const [mean, rstd, mean2, rstd2] = [unwritten(16), unwritten(16), unwritten(16), unwritten(16)] // 2 samples x 8 groups
      addon.groupNormForward(x, gamma, beta, y, mean, rstd, flat, 1e-5, true)
      addon.groupNormForward(x, gamma, beta, null, mean2, rstd2, flat, 1e-5, true)
      t.same([mean2, rstd2], [mean, rstd], `${what}: statistics alone`)
      addon.conv3dForward(y, filter, apart, shape)
      addon.elementwise(0, outputs, outputs, apart, residual, apart)
      const norm = tableOf(2, mean, rstd, gamma, beta)
      addon.conv3dForward(x, filter, together, shape, 'float32', norm, residual)
      t.ok(sameBits(apart, together), `${what}: forward`)
      const [of, fused] = [unwritten(filter.length), unwritten(filter.length)]
      addon.conv3dFilterGradient(y, dy, of, shape)
      addon.conv3dFilterGradient(x, dy, fused, shape, 'float32', norm)
      t.ok(sameBits(of, fused), `${what}: filter gradient`)
    }
    for (const channels of [8, 16, 24]) {
      const [size, flat] = [2 * 3 * 10 * 29 * channels, [2, 3 * 10 * 29, channels, 8]]
      const [x, residual, dy] = [normals(size, 'x'), normals(size, 'residual'), normals(size, 'dy')]
      const [gamma, beta] = [normals(channels, 'gamma'), normals(channels, 'beta')]
      const [mean, rstd] = [unwritten(16), unwritten(16)]
      addon.groupNormForward(x, gamma, beta, null, mean, rstd, flat, 1e-5, true)
      const [dx, dgamma, dbeta] = [unwritten(size), unwritten(channels), unwritten(channels)]
      addon.groupNormGradient(dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta, flat, 1e-5, true)
      addon.elementwise(0, size, size, dx, residual, dx)
      const inPlace = dy.slice()
      addon.groupNormGradient(inPlace, x, gamma, beta, mean, rstd, inPlace, dgamma, dbeta, flat, 1e-5, true, residual)
      t.ok(sameBits(dx, inPlace), `${isa}, ${channels} channels: norm gradient`)
    }
  }
  addon.setIsa(before)
})

/** In bfloat16: what is normalised in float32 is rounded after that, on every path of the kernels. */
const rounded: readonly (readonly [...Case, groups: number])[] = [
  [2, [3, 10, 29], 8, 8, 3, 1, 8],
  [2, [3, 10, 28], 16, 16, 3, 1, 8],
  [1, [5, 4, 7], 64, 64, 3, 1, 8],
  [2, [2, 3, 31], 9, 8, 3, 1, 3],
  [2, [3, 5, 12], 24, 5, 3, 2, 8],
  [2, [4, 4, 13], 8, 16, 3, 2, 4],
  [1, [4, 7, 10], 8, 4, 3, 3, 1],
  [2, [2, 3, 15], 40, 33, 1, 1, 8],
  [1, [3, 6, 17], 2, 17, 5, 1, 2],
]

t.test('bfloat16: at once and one after the other give the same bits, whatever the threads', { skip }, async t => {
  const addon = loadAddon()
  const before = { isa: addon.isa(), threads: addon.threads() }
  // Plain loops round a norm's product and its sum, all others once.
  const emulated = addon.isas().filter(isa => isa !== 'scalar')
  const variants = [
    ...emulated.map(isa => [isa, 'bfloat16-emulated'] as const),
    ...(addon.hasBfloat16() ? [[before.isa, 'bfloat16'] as const] : []),
  ]
  for (const [isa, precision] of variants)
    for (const [batch, extents, ci, co, kernel, stride, groups] of rounded) {
      addon.setIsa(isa)
      const pad = (kernel - 1) / 2
      const xShape: Shape5 = [batch, ...extents, ci]
      const filterShape: Shape5 = [kernel, kernel, kernel, ci, co]
      const yShape = outputShape(xShape, filterShape, [stride, stride, stride], [pad, pad, pad])
      const shape = [...xShape, kernel, kernel, kernel, ...yShape.slice(1), stride, stride, stride, pad, pad, pad]
      const [x, filter] = [normals(size(xShape), 'x'), normals(size(filterShape), 'filter')]
      const [residual, dy] = [normals(size(yShape), 'residual'), normals(size(yShape), 'dy')]
      const [gamma, beta] = [normals(ci, 'gamma'), normals(ci, 'beta')]
      const [mean, rstd, normed] = [unwritten(batch * groups), unwritten(batch * groups), unwritten(x.length)]
      addon.groupNormForward(
        x,
        gamma,
        beta,
        normed,
        mean,
        rstd,
        [batch, size(xShape) / batch / ci, ci, groups],
        1e-5,
        true,
      )
      const norm = tableOf(batch, mean, rstd, gamma, beta)
      const [y, dfilter] = [unwritten(dy.length), unwritten(filter.length)]
      addon.conv3dForward(normed, filter, y, shape, precision)
      addon.elementwise(0, y.length, y.length, y, residual, y)
      addon.conv3dFilterGradient(normed, dy, dfilter, shape, precision)
      const differing = [1, 2, 3].flatMap(threads => {
        addon.setThreads(threads)
        const [fusedY, fusedGradient] = [unwritten(dy.length), unwritten(filter.length)]
        addon.conv3dForward(x, filter, fusedY, shape, precision, norm, residual)
        addon.conv3dFilterGradient(x, dy, fusedGradient, shape, precision, norm)
        return [sameBits(fusedY, y) ? [] : ['y'], sameBits(fusedGradient, dfilter) ? [] : ['dfilter']].flat()
      })
      addon.setThreads(before.threads)
      t.same(differing, [], `${isa}, ${precision}: ${ci} to ${co} channels, kernel ${kernel}, stride ${stride}`)
    }
  addon.setIsa(before.isa)
})

t.test('one tap and another number of rows out than in', { skip }, async t => {
  const addon = loadAddon()
  const before = addon.isa()
  // The padding behind follows from the output's size: rows are cut off, or see nothing.
  for (const [rows, out] of [
    [5, 4],
    [4, 6],
  ] as const) {
    const shape = [1, 2, rows, 9, 8, 1, 1, 1, 2, out, 9, 2, 1, 1, 1, 0, 0, 0]
    const [x, dy, norm] = [normals(2 * rows * 72, 'x'), normals(2 * out * 18, 'dy'), normals(24, 'norm')]
    const expected = unwritten(16)
    addon.setIsa('scalar')
    addon.conv3dFilterGradient(x, dy, expected, shape, 'float32', norm)
    for (const isa of addon.isas()) {
      addon.setIsa(isa)
      const found = unwritten(16)
      addon.conv3dFilterGradient(x, dy, found, shape, 'float32', norm)
      const away = Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))
      t.ok(away < 1e-4, `${isa}: ${rows} to ${out} rows: ${away}`)
    }
  }
  addon.setIsa(before)
})

t.test('what does not fit is refused', { skip }, async t => {
  const addon = loadAddon()
  const [x, filter] = [new Float32Array(27 * 8), new Float32Array(27 * 64)]
  const shape = [1, 3, 3, 3, 8, 3, 3, 3, 3, 3, 3, 8, 1, 1, 1, 1, 1, 1]
  const norm = new Float32Array(24)
  t.throws(() => addon.conv3dForward(x, filter, x.slice(), shape, 'float32', norm.subarray(1)), {
    message: /norm has 23 elements/,
  })
  t.throws(() => addon.conv3dForward(x, filter, x.slice(), shape, 'float32', norm, norm), {
    message: /residual has 24 elements/,
  })
  t.throws(() => addon.conv3dFilterGradient(x, x, filter, shape, 'float32', norm.subarray(1)), {
    message: /norm has 23 elements/,
  })
})

function compare(t: Test, [batch, extents, ci, co, kernel, stride]: Case): void {
  const xShape: Shape5 = [batch, ...extents, ci]
  const filterShape: Shape5 = [kernel, kernel, kernel, ci, co]
  const strides: Triple = [stride, stride, stride]
  const pad = (kernel - 1) / 2
  const pads: Triple = [pad, pad, pad]
  const yShape = outputShape(xShape, filterShape, strides, pads)
  const shape = [...xShape, kernel, kernel, kernel, ...yShape.slice(1), ...strides, ...pads]
  const x = normals(size(xShape), 'x')
  const norm = normals(batch * 3 * ci, 'norm')
  const filter = normals(size(filterShape), 'filter')
  const residual = normals(size(yShape), 'residual')
  const dy = normals(size(yShape), 'dy')
  const perSample = x.length / batch
  const normed = Float64Array.from(x, (value, i) => {
    const at = Math.floor(i / perSample) * 3 * ci + (i % ci)
    return Math.max(0, (value - norm[at]!) * norm[at + ci]! + norm[at + 2 * ci]!)
  })
  const y = conv3d(normed, xShape, filter, filterShape, strides, pads).y
  conforms(
    t,
    `${ci} to ${co} channels, ${batch} x ${extents.join(' x ')}, kernel ${kernel}, stride ${stride}`,
    addon => {
      const [plain, added] = [unwritten(dy.length), unwritten(dy.length)]
      const dfilter = unwritten(filter.length)
      addon.conv3dForward(x, filter, plain, shape, 'float32', norm)
      addon.conv3dForward(x, filter, added, shape, 'float32', norm, residual)
      addon.conv3dFilterGradient(x, dy, dfilter, shape, 'float32', norm)
      return [plain, added, dfilter]
    },
    [
      { name: 'y', values: y, tolerance: 3e-6 },
      { name: 'y + residual', values: y.map((value, i) => value + residual[i]!), tolerance: 3e-6 },
      {
        name: 'dfilter',
        values: conv3dFilterGradient(normed, xShape, dy, yShape, filterShape, strides, pads),
        tolerance: 3e-6,
      },
    ],
  )
}

/** (N, 3, C): mean, gamma rstd and beta of each channel, from (N, groups) twice and (C) twice. */
function tableOf(
  batch: number,
  mean: Float32Array,
  rstd: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
): Float32Array {
  const [channels, groups] = [gamma.length, mean.length / batch]
  const table = new Float32Array(batch * 3 * channels)
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const group = n * groups + Math.floor(c / (channels / groups))
      table[n * 3 * channels + c] = mean[group]!
      table[(n * 3 + 1) * channels + c] = gamma[c]! * rstd[group]!
      table[(n * 3 + 2) * channels + c] = beta[c]!
    }
  return table
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer).equals(Buffer.from(b.buffer))
}

function size(shape: Shape5): number {
  return shape.reduce((a, b) => a * b, 1)
}
