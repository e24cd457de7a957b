import t, { type Test } from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { groupNormRelu, groupNormReluGradient } from '../reference/group-norm.ts'
import type { Shape5 } from '../reference/conv3d.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

const cases: readonly (readonly [shape: Shape5, groups: number])[] = [
  [[1, 1, 1, 1, 1], 1],
  [[1, 2, 3, 4, 8], 8],
  [[2, 3, 5, 7, 8], 8],
  [[2, 3, 5, 7, 8], 1],
  [[1, 2, 3, 5, 16], 8],
  [[3, 2, 3, 3, 17], 17],
  [[2, 1, 3, 11, 9], 3],
  [[1, 3, 3, 3, 12], 4],
  [[2, 2, 2, 7, 24], 8],
  [[1, 2, 5, 3, 32], 8],
  [[1, 2, 2, 3, 48], 8],
  [[1, 4, 4, 5, 5], 5],
  [[2, 1, 1, 13, 2], 1],
  [[1, 1, 1, 5, 3], 1],
  [[1, 10, 31, 37, 7], 7],
  [[2, 9, 40, 41, 8], 8],
  [[1, 1, 1, 1, 64], 8],
]

for (const relu of [true, false]) {
  t.test(`group norm ${relu ? 'with' : 'without'} ReLU, and its gradient`, { skip }, async t => {
    for (const [shape, groups] of cases) compare(t, shape, groups, relu, 1, 0)
  })
}

t.test('a mean far above the spread keeps its digits', { skip }, async t => {
  // float32 itself holds x - 1000 to 6e-5 only; the reference sees the same rounded x.
  compare(t, [2, 4, 9, 11, 8], 8, true, 1, 1000)
})

t.test('a constant group gives beta', { skip }, async t => {
  const x = new Float32Array(2 * 15 * 8).fill(3)
  const beta = normals(8, 'beta')
  conforms(
    t,
    'constant',
    addon => {
      const [y, mean, rstd] = [unwritten(x.length), unwritten(16), unwritten(16)]
      addon.groupNormForward(x, normals(8, 'gamma'), beta, y, mean, rstd, [2, 15, 8, 8], 1e-5, false)
      return [y, mean, rstd]
    },
    [
      { name: 'y', values: Float64Array.from(x, (_, i) => beta[i % 8]!), tolerance: 1e-7 },
      { name: 'mean', values: new Float64Array(16).fill(3), tolerance: 0 },
      { name: 'rstd', values: new Float64Array(16).fill(1 / Math.sqrt(1e-5)), tolerance: 1e-6 },
    ],
  )
})

t.test('what is not a number stays visible', { skip }, async t => {
  const addon = loadAddon()
  const x = normals(15 * 8, 'x')
  x[8 * 7 + 3] = NaN
  const [y, mean, rstd] = [new Float32Array(x.length), new Float32Array(8), new Float32Array(8)]
  const before = addon.isa()
  for (const isa of addon.isas()) {
    addon.setIsa(isa)
    addon.groupNormForward(
      x,
      new Float32Array(8).fill(1),
      new Float32Array(8),
      y,
      mean,
      rstd,
      [1, 15, 8, 8],
      1e-5,
      true,
    )
    t.ok(Number.isNaN(y[3]!) && !Number.isNaN(y[2]!), `${isa}: its group is NaN, through the ReLU too`)
  }
  addon.setIsa(before)
})

t.test('groups must divide the channels', { skip }, async t => {
  const [x, c, s] = [new Float32Array(12), new Float32Array(6), new Float32Array(4)]
  t.throws(() => loadAddon().groupNormForward(x, c, c, x, s, s, [1, 2, 6, 4], 1e-5, true), {
    message: /6 channels do not make 4 groups/,
  })
})

function compare(t: Test, shape: Shape5, groups: number, relu: boolean, spread: number, offset: number): void {
  const [n, d, h, w, channels] = shape
  const size = n * d * h * w * channels
  const x = normals(size, 'x', spread).map(v => v + offset)
  const dy = normals(size, 'dy')
  const gamma = normals(channels, 'gamma')
  const beta = normals(channels, 'beta')
  const flat = [n, d * h * w, channels, groups]
  const expected = groupNormRelu(x, shape, gamma, beta, groups, 1e-5, relu)
  const gradient = groupNormReluGradient(dy, x, shape, gamma, beta, groups, 1e-5, relu)
  const loose = offset === 0 ? 1 : 40
  conforms(
    t,
    `(${shape.join(', ')}) in ${groups} groups`,
    addon => {
      const [y, mean, rstd] = [unwritten(size), unwritten(n * groups), unwritten(n * groups)]
      const [dx, dgamma, dbeta] = [unwritten(size), unwritten(channels), unwritten(channels)]
      addon.groupNormForward(x, gamma, beta, y, mean, rstd, flat, 1e-5, relu)
      addon.groupNormGradient(dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta, flat, 1e-5, relu)
      return [y, mean, rstd, dx, dgamma, dbeta]
    },
    [
      { name: 'y', values: expected.y, tolerance: loose * 2e-6 },
      { name: 'mean', values: expected.mean, tolerance: 3e-6 },
      { name: 'rstd', values: expected.rstd, tolerance: 1e-6 },
      { name: 'dx', values: gradient.dx, tolerance: loose * 5e-6, scale: Math.max(...expected.rstd) },
      { name: 'dgamma', values: gradient.dgamma, tolerance: loose * 2e-6 },
      { name: 'dbeta', values: gradient.dbeta, tolerance: 1e-6 },
    ],
  )
}
