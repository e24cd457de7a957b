/**
 * Convolutions with bfloat16 products against float64 on the same rounded numbers. What is left is the rounding of float32:
 * of sums in avx512_bf16, which adds in an order and with roundings of its own, of the kernels' transforms and sums in the
 * emulation.
 */

import t, { type Test } from 'tap'
import { loadAddon, type Isa, type Precision } from '../../native/addon.ts'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, outputShape, type Shape5 } from '../reference/conv3d.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals, toBfloat16 } from '../support/numbers.ts'

type Triple = readonly [number, number, number]

/** Kernel, stride, padding: those of the network first. */
const forms: readonly (readonly [Triple, Triple, Triple])[] = [
  [cube(3), cube(1), cube(1)],
  [cube(3), cube(2), cube(1)],
  [cube(1), cube(1), cube(0)],
  [cube(3), cube(1), cube(0)],
  [cube(1), cube(2), cube(0)],
  [cube(3), cube(3), cube(1)],
  [cube(5), cube(1), cube(2)],
  [
    [3, 1, 3],
    [2, 1, 1],
    [1, 0, 2],
  ],
  [
    [2, 3, 7],
    [1, 2, 2],
    [1, 0, 3],
  ],
]
const channels = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 128]
const widths = [1, 2, 5, 14, 15, 28, 31, 57]

/** Every width with every number of channels in, and some number out; few voxels where there are many channels. */
const cases = channels.flatMap((ci, i) =>
  widths.map((width, j) => {
    const co = channels[(i * 5 + j * 3) % channels.length]!
    const many = ci * co > 1000
    const size = [1 + ((i + j) % (many ? 2 : 4)), 1 + ((i + 2 * j) % (many ? 2 : 5)), many ? 1 + (width % 6) : width]
    const [kernel, stride, pad] = forms[j % 2 === 0 ? (j / 2) % 2 : (i + j) % forms.length]!
    return { ci, co, size: size as unknown as Triple, kernel, stride, pad, batch: 1 + ((i + j) % 2) }
  }),
)

const native = (): string | false => skip || (loadAddon().hasBfloat16() ? false : 'this processor has no avx512_bf16')

t.test('emulated, on the kernels of each instruction set', { skip }, t => compareAll(t, 'bfloat16-emulated'))

t.test('avx512_bf16', { skip: native() }, t => compareAll(t, 'bfloat16', [loadAddon().isa()]))

t.test('so many planes of long rows that the filter gradient takes them in blocks', { skip }, async t => {
  for (const precision of precisions()) {
    for (const [c, planes] of [
      [8, 27],
      [16, 13],
    ] as const) {
      const size = [planes, 3, 300] as const
      const network = { kernel: cube(3), stride: cube(1), pad: cube(1), batch: 1 }
      compare(t, precision, { ci: c, co: c, size, ...network }, [loadAddon().isa()])
    }
  }
})

t.test('a batch that is written past the caches equals its samples, bit for bit', { skip }, async t => {
  const [voxels, batch] = [24 * 160 * 140, 2]
  const addon = loadAddon()
  const filter = normals(27 * 64, 'filter')
  const shape = [24, 160, 140, 8, 3, 3, 3, 24, 160, 140, 8, 1, 1, 1, 1, 1, 1]
  // On a boundary of 64 bytes, as the engine's own memory.
  const [x, whole, parts] = [1, 2, 3].map(() => new Float32Array(addon.allocate(batch * voxels * 8 * 4)))
  for (let i = 0; i < x!.length; i++) x![i] = Math.fround(Math.sin(i))
  const sample = (values: Float32Array, i: number): Float32Array =>
    values.subarray(i * voxels * 8, (i + 1) * voxels * 8)
  for (const precision of ['float32', ...precisions()] as const)
    for (const residual of [null, x!]) {
      whole!.fill(NaN)
      addon.conv3dForward(x!, filter, whole!, [batch, ...shape], precision, null, residual)
      for (let i = 0; i < batch; i++) {
        const added = residual && sample(residual, i)
        addon.conv3dForward(sample(x!, i), filter, sample(parts!, i), [1, ...shape], precision, null, added)
      }
      const same = Buffer.from(whole!.buffer).equals(Buffer.from(parts!.buffer))
      t.ok(same, residual ? `${precision}, with a residual` : precision)
    }
})

t.test('numbers are rounded to the nearest, ties to even', { skip }, async t => {
  const tie = 2 ** -8
  const table: readonly (readonly [from: number, to: number])[] = [
    [1, 1],
    [1 + tie, 1],
    [1 + tie * 1.001, 1 + 2 * tie],
    [1 + 3 * tie, 1 + 4 * tie],
    [-1 - 3 * tie, -1 - 4 * tie],
    [2 - tie, 2],
    [0.1, 0.10009765625],
    [3.4e38, Infinity],
    [-Infinity, -Infinity],
    [NaN, NaN],
    [1e-40, 0],
    [2 ** -126, 2 ** -126],
  ]
  const x = Float32Array.from(table, ([from]) => from)
  for (const precision of precisions()) {
    const y = unwritten(x.length)
    const shape = [1, 1, 1, x.length, 1, 1, 1, 1, 1, 1, x.length, 1, 1, 1, 1, 0, 0, 0]
    loadAddon().conv3dForward(x, Float32Array.of(1), y, shape, precision)
    t.same(
      [...y],
      table.map(([, to]) => to),
      precision,
    )
  }
})

t.test('another precision is refused', { skip }, async t => {
  const addon = loadAddon()
  const one = new Float32Array(1)
  const shape = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
  t.throws(() => addon.conv3dForward(one, one, one, shape, 'float16' as never), {
    message: /no such precision: 'float16'/,
  })
  t.throws(() => addon.conv3dForward(one, one, one, shape, 16 as never), { message: /precision is not a string/ })
})

async function compareAll(t: Test, precision: Precision, isas?: readonly Isa[]): Promise<void> {
  let largest = 0
  for (const c of cases.filter(fits)) largest = Math.max(largest, compare(t, precision, c, isas))
  t.comment(`largest difference ${largest} of the largest value`)
}

function compare(t: Test, precision: Precision, c: (typeof cases)[number], isas?: readonly Isa[]): number {
  const xShape: Shape5 = [c.batch, ...c.size, c.ci]
  const filterShape: Shape5 = [...c.kernel, c.ci, c.co]
  const yShape = outputShape(xShape, filterShape, c.stride, c.pad)
  const shape = [...xShape, ...c.kernel, ...yShape.slice(1), ...c.stride, ...c.pad]
  const [x, filter, dy] = [
    normals(size(xShape), 'x'),
    normals(size(filterShape), 'filter'),
    normals(size(yShape), 'dy'),
  ]
  const [x16, filter16, dy16] = [toBfloat16(x), toBfloat16(filter), toBfloat16(dy)]
  const tolerance = 2e-6
  return conforms(
    t,
    `${precision}: ${c.ci} to ${c.co} channels, ${c.batch} x ${c.size.join(' x ')}, kernel ${c.kernel.join(' x ')}, stride ${c.stride.join(', ')}, padding ${c.pad.join(', ')}`,
    addon => {
      const [y, dx, dfilter] = [unwritten(dy.length), unwritten(x.length), unwritten(filter.length)]
      addon.conv3dForward(x, filter, y, shape, precision)
      addon.conv3dInputGradient(dy, filter, dx, shape, precision)
      addon.conv3dFilterGradient(x, dy, dfilter, shape, precision)
      return [y, dx, dfilter]
    },
    [
      { name: 'y', values: conv3d(x16, xShape, filter16, filterShape, c.stride, c.pad).y, tolerance },
      {
        name: 'dx',
        values: conv3dInputGradient(dy16, yShape, filter16, filterShape, xShape, c.stride, c.pad),
        tolerance,
      },
      {
        name: 'dfilter',
        values: conv3dFilterGradient(x16, xShape, dy16, yShape, filterShape, c.stride, c.pad),
        tolerance,
      },
    ],
    isas,
  )
}

function precisions(): Precision[] {
  return ['bfloat16-emulated', ...(native() === false ? (['bfloat16'] as const) : [])]
}

function size(shape: Shape5): number {
  return shape.reduce((a, b) => a * b, 1)
}

function fits(c: (typeof cases)[number]): boolean {
  return c.size.every((n, i) => n + 2 * c.pad[i]! >= c.kernel[i]!)
}

function cube(n: number): Triple {
  return [n, n, n]
}
