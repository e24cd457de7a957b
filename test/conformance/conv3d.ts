import t, { type Test } from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { rng } from '../../pipeline/random.ts'
import { conv3d, conv3dFilterGradient, conv3dInputGradient, outputShape, type Shape5 } from '../reference/conv3d.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

type Triple = readonly [number, number, number]

interface Case {
  readonly batch: number
  readonly size: Triple
  readonly ci: number
  readonly co: number
  readonly kernel: Triple
  readonly stride: Triple
  readonly pad: Triple
}

/** Kernel, stride, padding: those of the network first. */
const forms: readonly (readonly [Triple, Triple, Triple])[] = [
  [cube(3), cube(1), cube(1)],
  [cube(3), cube(2), cube(1)],
  [cube(1), cube(1), cube(0)],
  [cube(3), cube(1), cube(0)],
  [cube(5), cube(1), cube(2)],
  [cube(2), cube(2), cube(0)],
  [cube(1), cube(2), cube(0)],
  [cube(3), cube(3), cube(1)],
  [
    [1, 3, 3],
    [1, 2, 1],
    [0, 1, 1],
  ],
  [
    [3, 1, 5],
    [1, 1, 2],
    [1, 0, 2],
  ],
  [
    [3, 3, 7],
    [2, 1, 2],
    [2, 2, 3],
  ],
]

const channels: readonly (readonly [ci: number, co: number])[] = [
  [1, 8],
  [8, 8],
  [8, 2],
  [16, 16],
  [8, 16],
  [16, 8],
  [3, 5],
  [2, 7],
  [7, 1],
  [1, 1],
  [9, 12],
  [12, 9],
  [17, 24],
  [24, 17],
  [32, 48],
  [48, 32],
]

/** Below, at and above tiles of 4, 6, 12, 14 and 28 voxels. */
const widths = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 27, 28, 29, 31, 57]

const table: Case[] = channels.flatMap(([ci, co], i) =>
  forms.map(([kernel, stride, pad], j) => ({
    batch: 1 + ((i + j) % 3 === 0 ? 1 : 0),
    size: [1 + ((i + j) % 3), 1 + ((i + 2 * j) % 4), widths[(i * forms.length + j * 5) % widths.length]!] as const,
    ci,
    co,
    kernel,
    stride,
    pad,
  })),
)

t.test('convolutions of awkward shapes', { skip }, async t => {
  for (const c of table.filter(fits)) compare(t, c)
})

/** Three taps along x with other kernels along y and z, and other paddings. */
const filtered: readonly (readonly [kernel: Triple, pad: Triple])[] = [
  [
    [1, 1, 3],
    [0, 0, 1],
  ],
  [
    [2, 4, 3],
    [1, 2, 0],
  ],
  [
    [3, 5, 3],
    [1, 2, 2],
  ],
  [
    [3, 3, 3],
    [1, 1, 4],
  ],
  [
    [3, 3, 3],
    [0, 2, 1],
  ],
]

t.test('three taps along x, whatever the others', { skip }, async t => {
  const stride = cube(1)
  for (const [i, [kernel, pad]] of filtered.entries()) {
    for (const [ci, co] of [
      [8, 8],
      [1, 5],
      [9, 24],
      [16, 40],
    ] as const)
      compare(t, { batch: 2, size: [3 + (i % 2), 4, 13 + i], ci, co, kernel, stride, pad })
  }
})

t.test('rows and planes that take several registers, groups and blocks', { skip }, async t => {
  for (const [ci, co, size] of [
    [8, 8, [2, 19, 111]],
    [8, 8, [5, 37, 26]],
    [16, 16, [1, 19, 56]],
    [16, 16, [2, 37, 55]],
    [16, 33, [1, 3, 113]],
    [1, 16, [1, 2, 225]],
  ] as const)
    compare(t, { batch: 1, size, ci, co, kernel: cube(3), stride: cube(1), pad: cube(1) })
})

t.test('every width of a row, eight channels', { skip }, async t => {
  for (const width of widths)
    compare(t, { batch: 1, size: [2, 3, width], ci: 8, co: 8, kernel: cube(3), stride: cube(1), pad: cube(1) })
})

/** Up to four channels out, up to eight, one register, two, more; sums of one part and of some. */
const pointwise: readonly (readonly [ci: number, co: number])[] = [
  [8, 1],
  [8, 2],
  [16, 3],
  [13, 4],
  [100, 2],
  [2, 8],
  [40, 6],
  [33, 16],
  [64, 32],
  [97, 35],
  [70, 65],
]

t.test('kernels of one tap, around the voxels of a group, a tile and a task', { skip }, async t => {
  for (const [i, [ci, co]] of pointwise.entries())
    for (const width of [1, 7, 8, 9, 13, 28, 61])
      compare(t, {
        batch: 1 + (width % 2),
        size: [1, 1 + ((i + width) % 5) * 7, width],
        ci,
        co,
        kernel: cube(1),
        stride: cube(1),
        pad: cube(0),
      })
})

t.test('outputs that pass by the caches are those of their parts', { skip }, async t => {
  const addon = loadAddon()
  const before = addon.isa()
  const [voxels, parts] = [95326 * 11, 11]
  const [dy, filter] = [normals(voxels * 2, 'dy'), normals(16, 'filter')]
  const shape = (batch: number): number[] => [
    batch,
    1,
    1,
    voxels / parts,
    8,
    1,
    1,
    1,
    1,
    1,
    voxels / parts,
    2,
    1,
    1,
    1,
    0,
    0,
    0,
  ]
  for (const isa of addon.isas()) {
    addon.setIsa(isa)
    // Such outputs must lie at a line of memory.
    const [whole, apart] = [1, 2].map(() => new Float32Array(addon.allocate(voxels * 8 * 4)).fill(NaN)) as [
      Float32Array,
      Float32Array,
    ]
    addon.conv3dInputGradient(dy, filter, whole, shape(parts))
    const [dyStep, dxStep] = [dy.length / parts, whole.length / parts]
    for (let i = 0; i < parts; i++)
      addon.conv3dInputGradient(
        dy.subarray(i * dyStep, (i + 1) * dyStep),
        filter,
        apart.subarray(i * dxStep, (i + 1) * dxStep),
        shape(1),
      )
    t.ok(Buffer.from(whole.buffer).equals(Buffer.from(apart.buffer)), isa)
  }
  addon.setIsa(before)
})

t.test('every width of a row, the first layer and those of stride 2', { skip }, async t => {
  const padded = { batch: 1, kernel: cube(3), pad: cube(1) }
  for (const width of widths) {
    compare(t, { ...padded, size: [2, 5, width], ci: 1, co: 8, stride: cube(1) })
    compare(t, { ...padded, size: [3, 6, width], ci: 8, co: 16, stride: cube(2) })
    compare(t, { ...padded, size: [4, 5, width], ci: 19, co: 6, stride: cube(2) })
  }
})

t.test('more rows and planes than a block or a tile has', { skip }, async t => {
  for (const pad of [cube(1), [0, 2, 0], [2, 0, 3]] as Triple[])
    compare(t, { batch: 2, size: [18, 19, 23], ci: 1, co: 8, kernel: cube(3), stride: cube(1), pad })
  compare(t, { batch: 1, size: [3, 3, 530], ci: 1, co: 8, kernel: cube(3), stride: cube(1), pad: cube(1) })
  for (const [ci, co] of [
    [8, 16],
    [7, 70],
    [17, 34],
  ] as const)
    compare(t, { batch: 2, size: [5, 23, 18], ci, co, kernel: cube(3), stride: cube(2), pad: cube(1) })
})

t.test('sixty shapes at random', { skip }, async t => {
  const draw = rng(2024, 0, 0, 'conv3d')
  for (let i = 0; i < 60; i++) {
    const triple = (least: number, most: number): Triple => [
      least + draw.integer(most - least + 1),
      least + draw.integer(most - least + 1),
      least + draw.integer(most - least + 1),
    ]
    const kernel = triple(1, 4)
    const c: Case = {
      batch: 1 + draw.integer(2),
      size: [1 + draw.integer(5), 1 + draw.integer(6), 1 + draw.integer(35)],
      ci: 1 + draw.integer(18),
      co: 1 + draw.integer(18),
      kernel,
      stride: triple(1, 3),
      pad: [draw.integer(kernel[0]), draw.integer(kernel[1]), draw.integer(kernel[2])],
    }
    if (fits(c)) compare(t, c)
  }
})

t.test('an input gradient that is written past the caches has the bits of one that is not', { skip }, async t => {
  const shape = [1, 18, 242, 242, 8, 3, 3, 3, 9, 121, 121, 16, 2, 2, 2, 1, 1, 1]
  const voxels = 18 * 242 * 242 * 8
  const addon = loadAddon()
  const filter = normals(27 * 8 * 16, 'filter')
  const dy = Float32Array.from({ length: 9 * 121 * 121 * 16 }, (_, i) => Math.sin(i))
  // Only what begins on a boundary of 64 bytes can be written so, as the engine's own memory does.
  const memory = new Float32Array(addon.allocate((voxels + 4) * 4)).fill(NaN)
  addon.conv3dInputGradient(dy, filter, memory.subarray(0, voxels), shape)
  const past = memory.slice(0, voxels)
  memory.fill(NaN)
  addon.conv3dInputGradient(dy, filter, memory.subarray(4), shape)
  t.ok(Buffer.from(past.buffer).equals(Buffer.from(memory.buffer, 16, voxels * 4)))
  t.notOk(past.includes(NaN))
})

t.test('many voxels lose no digits in the filter gradient', { skip }, async t => {
  // All products are 1, so that each sum is a count: 40 * 40 * 40 voxels, fewer where the tap leaves the volume.
  const xShape: Shape5 = [1, 40, 40, 40, 8]
  const ones = new Float32Array(40 ** 3 * 8).fill(1)
  const expected = conv3dFilterGradientOfOnes(40)
  conforms(
    t,
    'counts',
    addon => {
      const dfilter = unwritten(27 * 64)
      addon.conv3dFilterGradient(ones, ones, dfilter, [...xShape, 3, 3, 3, 40, 40, 40, 8, 1, 1, 1, 1, 1, 1])
      return [dfilter]
    },
    [{ name: 'dfilter', values: expected, tolerance: 0 }],
  )
})

t.test('what does not fit is refused', { skip }, async t => {
  const addon = loadAddon()
  const [x, filter, y] = [new Float32Array(27 * 8), new Float32Array(27 * 64), new Float32Array(27 * 8)]
  const shape = [1, 3, 3, 3, 8, 3, 3, 3, 3, 3, 3, 8, 1, 1, 1, 1, 1, 1]
  t.throws(() => addon.conv3dForward(x.subarray(1), filter, y, shape), { message: /x has 215 elements/ })
  t.throws(() => addon.conv3dForward(x, filter, y.subarray(1), shape), { message: /y has 215 elements/ })
  t.throws(() => addon.conv3dForward(x, filter.subarray(8), y, shape), { message: /filter has 1720 elements/ })
  t.throws(() => addon.conv3dForward(x, filter, y, shape.with(1, 0)), { message: /whole number of at least 1/ })
  t.throws(() => addon.conv3dForward(x, filter, y, shape.with(12, 0)), { message: /whole number of at least 1/ })
  t.throws(() => addon.conv3dForward(x, filter, y, shape.with(3, 1.5)), { message: /whole number/ })
  t.throws(() => addon.conv3dForward(x, filter, y, shape.slice(1)), { message: /array of 18 numbers/ })
  t.throws(() => addon.conv3dForward(x, filter, y, shape.with(4, 2 ** 30)), { message: /too many channels|too large/ })
  t.throws(() => addon.conv3dForward(new Float64Array(216) as never, filter, y, shape), { message: /Float32Array/ })
})

function compare(t: Test, c: Case): void {
  const xShape: Shape5 = [c.batch, ...c.size, c.ci]
  const filterShape: Shape5 = [...c.kernel, c.ci, c.co]
  const yShape = outputShape(xShape, filterShape, c.stride, c.pad)
  const shape = [...xShape, ...c.kernel, ...yShape.slice(1), ...c.stride, ...c.pad]
  const x = normals(size(xShape), 'x')
  const filter = normals(size(filterShape), 'filter')
  const dy = normals(size(yShape), 'dy')
  conforms(
    t,
    `${c.ci} to ${c.co} channels, ${c.batch} x ${c.size.join(' x ')}, kernel ${c.kernel.join(' x ')}, stride ${c.stride.join(', ')}, padding ${c.pad.join(', ')}`,
    addon => {
      const [y, dx, dfilter] = [unwritten(dy.length), unwritten(x.length), unwritten(filter.length)]
      addon.conv3dForward(x, filter, y, shape)
      addon.conv3dInputGradient(dy, filter, dx, shape)
      addon.conv3dFilterGradient(x, dy, dfilter, shape)
      return [y, dx, dfilter]
    },
    [
      { name: 'y', values: conv3d(x, xShape, filter, filterShape, c.stride, c.pad).y, tolerance: 2e-6 },
      {
        name: 'dx',
        values: conv3dInputGradient(dy, yShape, filter, filterShape, xShape, c.stride, c.pad),
        tolerance: 2e-6,
      },
      {
        name: 'dfilter',
        values: conv3dFilterGradient(x, xShape, dy, yShape, filterShape, c.stride, c.pad),
        tolerance: 2e-6,
      },
    ],
  )
}

/** Voxel pairs that a tap of a 3-convolution with padding 1 sees in a cube of n: n, or n - 1 off the middle, per axis. */
function conv3dFilterGradientOfOnes(n: number): Float64Array {
  const pairs = [n - 1, n, n - 1]
  const all = pairs.flatMap(z => pairs.flatMap(y => pairs.map(x => x * y * z)))
  return Float64Array.from({ length: 27 * 64 }, (_, i) => all[Math.floor(i / 64)]!)
}

function size(shape: Shape5): number {
  return shape.reduce((a, b) => a * b, 1)
}

function fits(c: Case): boolean {
  return c.size.every((n, i) => n + 2 * c.pad[i]! >= c.kernel[i]!)
}

function cube(n: number): Triple {
  return [n, n, n]
}
