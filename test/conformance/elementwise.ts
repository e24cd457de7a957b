import t from 'tap'
import { elementwiseOps, loadAddon } from '../../native/addon.ts'
import { softmax } from '../reference/dice-ce.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

const sizes = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 70_000]

const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  reluGradient: (a, b) => (b > 0 ? a : 0),
}

for (const [name, compute] of Object.entries(binary)) {
  t.test(name, { skip }, async t => {
    const op = elementwiseOps[name as keyof typeof elementwiseOps]
    for (const size of sizes)
      for (const period of new Set([1, size, ...[2, 3, 8, 24].filter(p => size % p === 0)])) {
        const a = normals(size, 'a')
        const b = normals(period, 'b')
        conforms(
          t,
          `${size} by ${period}`,
          addon => {
            const to = unwritten(size)
            addon.elementwise(op, size, period, a, b, to)
            return [to]
          },
          [{ name: 'result', values: Float64Array.from(a, (v, i) => compute(v, b[i % period]!)), tolerance: 1e-7 }],
        )
      }
  })
}

t.test('ReLU keeps NaN, fill writes everything', { skip }, async t => {
  for (const size of sizes) {
    const a = normals(size, 'a')
    conforms(
      t,
      `${size} elements`,
      addon => {
        const [relu, fill] = [unwritten(size), unwritten(size)]
        addon.elementwise(elementwiseOps.relu, size, 1, a, null, relu)
        addon.elementwise(elementwiseOps.fill, size, 1, null, Float32Array.of(2.5), fill)
        return [relu, fill]
      },
      [
        { name: 'relu', values: a.map(v => Math.max(v, 0)), tolerance: 0 },
        { name: 'fill', values: new Float32Array(size).fill(2.5), tolerance: 0 },
      ],
    )
  }
  const addon = loadAddon()
  const to = new Float32Array(20)
  addon.elementwise(elementwiseOps.relu, 20, 1, new Float32Array(20).fill(NaN), null, to)
  t.ok(to.every(Number.isNaN))
})

t.test('in place', { skip }, async t => {
  const b = normals(100, 'b')
  conforms(
    t,
    'a += b',
    addon => {
      const a = normals(100, 'a')
      addon.elementwise(elementwiseOps.add, 100, 100, a, b, a)
      return [a]
    },
    [{ name: 'a', values: normals(100, 'a').map((v, i) => v + b[i]!), tolerance: 0 }],
  )
})

t.test('sums per channel', { skip }, async t => {
  for (const channels of [1, 2, 3, 5, 8, 9, 16, 17, 24, 48])
    for (const rows of [1, 2, 7, 33, 5001]) {
      const a = normals(rows * channels, 'a')
      const expected = new Float64Array(channels)
      a.forEach((v, i) => (expected[i % channels]! += v))
      conforms(
        t,
        `${rows} x ${channels}`,
        addon => {
          const to = unwritten(channels)
          addon.channelSum(rows, channels, a, to)
          return [to]
        },
        [{ name: 'sum', values: expected, tolerance: 1e-6 }],
      )
    }
})

t.test('softmax over the last axis', { skip }, async t => {
  for (const classes of [1, 2, 3, 8, 17, 32, 33])
    for (const rows of [1, 5, 16, 17, 4100]) {
      const a = normals(rows * classes, 'a', 5)
      conforms(
        t,
        `${rows} x ${classes}`,
        addon => {
          const to = unwritten(a.length)
          addon.softmax(rows, classes, a, to)
          return [to]
        },
        [{ name: 'softmax', values: softmax(a, classes), tolerance: 1e-6 }],
      )
    }
})

t.test('an array of the wrong size is refused', { skip }, async t => {
  const [a, b] = [new Float32Array(8), new Float32Array(7)]
  const { add } = elementwiseOps
  t.throws(() => loadAddon().elementwise(add, 8, 8, a, b, a), { message: /b has 7 elements/ })
  t.throws(() => loadAddon().elementwise(99, 8, 8, a, a, a), { message: /unknown/ })
})
