/**
 * Calls every function of the addon with arguments at random, right ones and spoilt ones, in a process of its own: a crash
 * must not take the tests along. `node border-fuzz.js <addon> <seed> <calls>`.
 *
 * Writes a line before each call, so that the last one names what crashed, and in the end what it counted, as JSON.
 */

import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { elementwiseOps, type Addon } from '../../native/addon.ts'
import { rng, type Rng } from '../../pipeline/random.ts'

type Floats = Float32Array
interface Call {
  readonly name: keyof Addon
  readonly args: unknown[]
  /** Which arguments the addon writes. */
  readonly outputs: readonly number[]
}

/** What was done to a call: whether its result must still be what scalar gives, and in words. */
interface Spoilt {
  readonly call: Call
  readonly how: readonly string[]
  readonly comparable: boolean
}

const [path, seed, calls] = process.argv.slice(2)
const addon = createRequire(import.meta.url)(path!) as Addon

const pick = <T>(draw: Rng, list: readonly T[]): T => list[draw.integer(list.length)]!
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
const size = (draw: Rng, most: number): number => 1 + draw.integer(most)
const numbers = (draw: Rng, length: number, low = -1): Floats =>
  Float32Array.from({ length }, () => low + (1 - low) * draw.uniform())
const empty = (length: number): Floats => new Float32Array(length).fill(NaN)

function conv3d(draw: Rng): Call {
  const triple = (most: number): number[] => [size(draw, most), size(draw, most), size(draw, most)]
  const [input, kernel, stride] = [triple(6), triple(4), triple(3)]
  const pad = kernel.map(n => draw.integer(n + 1))
  const out = input.map((n, i) => Math.max(1, Math.floor((n + 2 * pad[i]! - kernel[i]!) / stride[i]!) + 1))
  const [batch, ci, co] = [size(draw, 2), size(draw, 20), size(draw, 20)]
  const shape = [batch, ...input, ci, ...kernel, ...out, co, ...stride, ...pad]
  const x = numbers(draw, count([batch, ...input, ci]))
  const filter = numbers(draw, count([...kernel, ci, co]))
  const dy = numbers(draw, count([batch, ...out, co]))
  const norm = draw.integer(2) === 0 ? null : numbers(draw, batch * 3 * ci)
  const residual = draw.integer(2) === 0 ? null : numbers(draw, dy.length)
  const forward = [x, filter, empty(dy.length), shape, 'float32', norm, residual]
  return pick<Call>(draw, [
    { name: 'conv3dForward', args: forward, outputs: [2] },
    { name: 'conv3dInputGradient', args: [dy, filter, empty(x.length), shape], outputs: [2] },
    { name: 'conv3dFilterGradient', args: [x, dy, empty(filter.length), shape, 'float32', norm], outputs: [2] },
  ])
}

function groupNorm(draw: Rng): Call {
  const [batch, voxels, groups] = [size(draw, 3), size(draw, 90), size(draw, 4)]
  const channels = groups * size(draw, 8)
  const all = batch * voxels * channels
  const [x, dy] = [numbers(draw, all), numbers(draw, all)]
  const [gamma, beta] = [numbers(draw, channels), numbers(draw, channels)]
  const rest = [[batch, voxels, channels, groups], 1e-3, false]
  const [mean, rstd] = [numbers(draw, batch * groups), numbers(draw, batch * groups, 0.5)]
  if (draw.integer(2) === 0) {
    const args = [x, gamma, beta, empty(all), empty(mean.length), empty(mean.length), ...rest]
    return { name: 'groupNormForward', args, outputs: [3, 4, 5] }
  }
  const args = [dy, x, gamma, beta, mean, rstd, empty(all), empty(channels), empty(channels), ...rest]
  return { name: 'groupNormGradient', args, outputs: [6, 7, 8] }
}

function upsample(draw: Rng): Call {
  const shape = [size(draw, 2), size(draw, 4), size(draw, 4), size(draw, 9), size(draw, 20)]
  const small = count(shape)
  const skip = draw.integer(2) === 0 ? null : numbers(draw, 8 * small)
  return draw.integer(2) === 0
    ? { name: 'upsampleForward', args: [numbers(draw, small), skip, empty(8 * small), shape], outputs: [2] }
    : { name: 'upsampleGradient', args: [numbers(draw, 8 * small), empty(small), shape], outputs: [1] }
}

function diceCrossEntropy(draw: Rng): Call {
  const [batch, voxels, classes] = [size(draw, 3), size(draw, 60), 2 + draw.integer(31)]
  const labels = Int32Array.from({ length: batch * voxels }, () => draw.integer(classes))
  const logits = numbers(draw, batch * voxels * classes)
  const shape = [batch, voxels, classes, draw.integer(2), draw.integer(2), draw.integer(2), draw.integer(2)]
  return {
    name: 'diceCrossEntropy',
    args: [logits, labels, empty(logits.length), shape, 1e-5, 1e-5, 1, 0.5],
    outputs: [2],
  }
}

function adam(draw: Rng): Call {
  const n = draw.integer(60)
  const args = [numbers(draw, n), numbers(draw, n), numbers(draw, n, 0), numbers(draw, n), n]
  return { name: 'adamUpdate', args: [...args, 0.9, 0.999, 1e-4, 0, 1e-3, 0.5], outputs: [0, 1, 2] }
}

function elementwise(draw: Rng): Call {
  const op = pick(draw, Object.values(elementwiseOps))
  const [n, period] = [draw.integer(200), size(draw, 40)]
  const a = op === elementwiseOps.fill ? null : numbers(draw, n)
  const b = op === elementwiseOps.relu ? null : numbers(draw, period, 0.5)
  return { name: 'elementwise', args: [op, n, period, a, b, empty(n)], outputs: [5] }
}

function reduction(draw: Rng): Call {
  const [rows, width] = [draw.integer(40), size(draw, 40)]
  const a = numbers(draw, rows * width)
  return draw.integer(2) === 0
    ? { name: 'channelSum', args: [rows, width, a, empty(width)], outputs: [3] }
    : { name: 'softmax', args: [rows, width, a, empty(rows * width)], outputs: [3] }
}

/** Loops over voxels, whose promises settle before the next call. */
function voxels(draw: Rng): Call {
  const [nx, ny, nz] = [size(draw, 9), size(draw, 7), size(draw, 5)]
  const all = nx * ny * nz
  const image = numbers(draw, all)
  switch (draw.integer(8)) {
    case 0: {
      const [type, width] = pick(draw, [[0, 1] as const, [2, 2] as const, [5, 4] as const, [8, 4] as const])
      const raw = new Uint8Array(Float32Array.from({ length: all }, () => draw.uniform()).buffer).subarray(
        0,
        all * width,
      )
      return { name: 'decode', args: [raw, empty(all), type, draw.integer(2) === 0, 0.5, -3], outputs: [1] }
    }
    case 1: {
      const [tx, ty, z] = [size(draw, 9), size(draw, 7), draw.integer(6)]
      const map = Float64Array.from({ length: 12 }, (_, i) => (i % 5 === 0 ? 1 : i % 4 === 3 ? draw.uniform() : 0))
      const planes = Array.from({ length: nz }, () => numbers(draw, nx * ny))
      const shape = [nx, ny, nz, tx, ty, z, 0]
      const flags = [draw.integer(2) === 0, draw.integer(2) === 0]
      return { name: 'samplePlane', args: [planes, empty(tx * ty), map, shape, ...flags], outputs: [1] }
    }
    case 2:
      return { name: 'clip', args: [image, empty(all), -0.5, 0.5, 0, 1], outputs: [1] }
    case 3: {
      const classes = image.map(() => pick(draw, [0, 1, -7]))
      const args = [classes, empty(all), dense, Float64Array.of(-7), Int16Array.of(3)]
      return { name: 'mapLabels', args, outputs: [1] }
    }
    case 4: {
      const [tx, ty, count] = [size(draw, 9), size(draw, 7), size(draw, 3)]
      const map = Float64Array.from({ length: 12 }, (_, i) => (i % 5 === 0 ? 1 : 0))
      const margin = Array.from({ length: nz }, () => numbers(draw, nx * ny))
      const shape = [nx, ny, nz, tx, ty, 0, count, 0]
      return { name: 'sampleMask', args: [margin, new Uint8Array(tx * ty * count), map, shape], outputs: [1] }
    }
    case 5: {
      const bits = (): Int32Array => Int32Array.from({ length: ny * nz }, () => draw.integer(2 ** 9))
      return {
        name: 'surfaceDistances',
        args: [bits(), bits(), [nx, ny, nz], Float64Array.of(1, 0.5, 3), 1e9],
        outputs: [],
      }
    }
    case 6:
      return { name: 'searchBox', args: [image, [nx, ny, nz], 0.5], outputs: [] }
    default: {
      const label = image.map(value => (value > 0.5 ? 1 : 0))
      const bits = new Uint8Array(2 * nx * Math.ceil((ny * nz) / 8))
      const args = [label, image, [nx, ny, nz, 0, nz, 2], 0, bits, new Float64Array(2 * nx)]
      return { name: 'markCandidates', args, outputs: [4, 5] }
    }
  }
}

const dense = new Int16Array(65536).fill(1)

const state = (draw: Rng): Call =>
  pick<Call>(draw, [
    { name: 'peak', args: ['float32', 0.001], outputs: [] },
    { name: 'isas', args: [], outputs: [] },
    { name: 'isa', args: [], outputs: [] },
    { name: 'threads', args: [], outputs: [] },
    { name: 'setIsa', args: [pick(draw, addon.isas())], outputs: [] },
    { name: 'setThreads', args: [size(draw, 6)], outputs: [] },
    { name: 'allocate', args: [size(draw, 5000)], outputs: [] },
    { name: 'release', args: [draw.integer(2) === 0 ? new ArrayBuffer(8) : addon.allocate(100)], outputs: [] },
  ])

const kinds = [conv3d, groupNorm, upsample, diceCrossEntropy, adam, elementwise, reduction, voxels, voxels]

/** What no argument should be; no number that asks for seconds of work. */
const junk: readonly (() => unknown)[] = [
  ...[NaN, Infinity, -Infinity, -1, -0, 0, 0.0015, 2 ** 31, 2 ** 31 - 1, 2 ** 32, 2 ** 53, -(2 ** 31), 1e300].map(
    n => () => n,
  ),
  ...[undefined, null, true, 'text', 7n, Symbol('s')].map(value => () => value),
  () => ({}),
  () => [],
  () => () => 1,
  () => new Proxy([1, 2, 3], {}),
  () => ({
    valueOf() {
      throw new Error('asked for its value')
    },
  }),
  () => new ArrayBuffer(8),
  () => new SharedArrayBuffer(8),
  () => new DataView(new ArrayBuffer(8)),
  () => new Float64Array(8),
  () => new Float32Array(0),
]

/** Other arrays with the same values, and arrays that no longer are what they were. */
const arrays: readonly { how: string; same: boolean; make: (a: Floats | Int32Array) => unknown }[] = [
  { how: 'one short', same: false, make: a => a.subarray(1) },
  { how: 'one long', same: false, make: a => copyInto(a, new ArrayBuffer(4 * a.length + 4), 0, a.length + 1) },
  { how: 'empty', same: false, make: a => a.subarray(0, 0) },
  { how: 'of float64', same: false, make: a => Float64Array.from(a) },
  {
    how: 'of the other type',
    same: false,
    make: a => (a instanceof Int32Array ? new Float32Array(a) : new Int32Array(a)),
  },
  { how: 'a plain array', same: false, make: a => [...a] },
  { how: 'detached', same: false, make: a => detach(copyInto(a, new ArrayBuffer(4 * a.length), 0, a.length)) },
  { how: 'in memory that shrank', same: false, make: shrunk },
  { how: 'shared', same: true, make: a => copyInto(a, new SharedArrayBuffer(4 * a.length), 0, a.length) },
  { how: 'off by 4 bytes', same: true, make: a => copyInto(a, new ArrayBuffer(4 * a.length + 8), 4, a.length) },
  { how: 'in memory that may grow', same: true, make: a => copyInto(a, growing(4 * a.length), 0, a.length) },
]

function copyInto(
  a: Floats | Int32Array,
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
): Floats | Int32Array {
  const copy =
    a instanceof Int32Array ? new Int32Array(buffer, offset, length) : new Float32Array(buffer, offset, length)
  copy.set(a)
  return copy
}

function detach<T extends Floats | Int32Array>(array: T): T {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  return array
}

function growing(bytes: number): ArrayBuffer {
  return new (ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer)(bytes, {
    maxByteLength: bytes + 64,
  })
}

function shrunk(a: Floats | Int32Array): unknown {
  const buffer = growing(4 * a.length)
  const copy = copyInto(a, buffer, 0, a.length)
  ;(buffer as unknown as { resize(bytes: number): void }).resize(Math.max(0, 4 * a.length - 4))
  return copy
}

function spoil(draw: Rng, call: Call): Spoilt {
  const args = [...call.args]
  const how: string[] = []
  const touched = new Set<number>()
  let comparable = true
  for (let times = draw.integer(3); times > 0 && args.length > 0; times--) {
    const i = draw.integer(args.length)
    if (touched.has(i)) continue
    touched.add(i)
    const argument = args[i]
    if (draw.integer(12) === 0) {
      args.pop()
      how.push('the last one missing')
      comparable = false
    } else if (argument instanceof Float32Array || argument instanceof Int32Array) {
      const others = args.filter(a => a instanceof Float32Array)
      if (draw.integer(6) === 0 && others.length > 1) {
        args[i] = pick(draw, others)
        how.push(`${i} the same as another`)
        comparable = false
      } else if (draw.integer(4) === 0) {
        how.push(`${i} junk`)
        args[i] = pick(draw, junk)()
        comparable = false
      } else {
        const way = pick(draw, arrays)
        how.push(`${i} ${way.how}`)
        args[i] = way.make(argument)
        comparable &&= way.same
      }
    } else if (Array.isArray(argument) && draw.integer(4) > 0) {
      args[i] = spoilShape(draw, argument, args, how, i)
      comparable = false
    } else {
      how.push(`${i} junk`)
      args[i] = pick(draw, junk)()
      comparable = false
    }
  }
  return { call: { ...call, args }, how, comparable }
}

function spoilShape(draw: Rng, shape: readonly unknown[], args: unknown[], how: string[], i: number): unknown {
  const changed = [...shape]
  const at = draw.integer(shape.length)
  const own = changed[at]
  switch (draw.integer(5)) {
    case 0:
      how.push(`${i} one short`)
      return changed.slice(1)
    case 1:
      how.push(`${i}[${at}] a hole`)
      delete changed[at]
      return changed
    case 2: {
      how.push(`${i}[${at}] takes memory away when it is read`)
      const victim = args.find(a => a instanceof Float32Array && a.buffer instanceof ArrayBuffer) as Floats | undefined
      Object.defineProperty(changed, at, {
        get() {
          if (victim && victim.buffer.byteLength > 0) detach(victim)
          return own
        },
      })
      return changed
    }
    case 3:
      how.push(`${i}[${at}] one more`)
      changed[at] = Number(own) + 1
      return changed
    default:
      changed[at] = pick(draw, junk)()
      how.push(`${i}[${at}] ${String(changed[at])}`)
      return changed
  }
}

/** Memory of its own, also for what lies in shared memory. */
function copied(argument: unknown): unknown {
  return argument instanceof Float32Array || argument instanceof Int32Array ? argument.slice() : argument
}

function run({ name, args }: Call): unknown {
  return (addon[name] as (...args: unknown[]) => unknown)(...args)
}

/** Runs a copy of the call with scalar kernels and gives the largest difference, relative to 1 or the largest value. */
async function distanceFromScalar(before: Call, after: Call): Promise<number> {
  const isa = addon.isa()
  addon.setIsa('scalar')
  await run(before)
  addon.setIsa(isa)
  let worst = 0
  for (const i of before.outputs) {
    const [expected, found] = [before.args[i] as Floats, after.args[i] as Floats]
    const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1)
    expected.forEach((v, k) => {
      const away = Math.abs(v - found[k]!) / scale
      worst = Number.isNaN(away) ? Infinity : Math.max(worst, away)
    })
  }
  return worst
}

const counts = { calls: 0, right: 0, refused: 0, compared: 0, largest: 0 }
const problems: string[] = []
const messages = new Set<string>()
for (let i = 0; i < Number(calls); i++) {
  const draw = rng(Number(seed), i, 0, 'border')
  // A number of threads that was junk and let through is 256: enough for some calls, slow for all.
  if (i % 16 === 0) addon.setThreads(1 + draw.integer(6))
  const drawn = draw.integer(8) === 0 ? state(draw) : pick(draw, kinds)(draw)
  const { call, how, comparable } = spoil(draw, drawn)
  const what = `${i} ${call.name}: ${how.join(', ') || 'nothing changed'}`
  writeSync(1, `${what}\n`)
  const before = comparable && call.outputs.length > 0 ? { ...call, args: call.args.map(copied) } : undefined
  counts.calls++
  try {
    const result = await run(call)
    if (call.name === 'allocate') addon.release(result as ArrayBuffer)
    counts.right++
  } catch (error) {
    counts.refused++
    if (comparable) problems.push(`${what}: refused: ${String(error)}`)
    if (!(error instanceof Error) || error.message === '') problems.push(`${what}: threw ${String(error)}`)
    else messages.add(`${call.name}: ${error.message.replaceAll(/-?\d[\d.e+]*/g, 'N')}`)
    continue
  }
  if (!before) continue
  const distance = await distanceFromScalar(before, call)
  counts.compared++
  counts.largest = Math.max(counts.largest, distance)
  if (!(distance < 1e-4)) problems.push(`${what}: ${distance} from scalar`)
}
writeSync(1, `${JSON.stringify({ ...counts, problems, messages: [...messages].toSorted() })}\n`)
if (problems.length > 0) process.exitCode = 1
