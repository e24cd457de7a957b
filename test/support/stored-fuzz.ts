/**
 * Calls the addon's functions for kept voxels with shapes at random and compares them with plain loops; then with arguments
 * that are spoilt. In a process of its own: a crash must not take the tests along. `node stored-fuzz.js <addon> <seed> <calls>`
 *
 * Writes a line before each call, so that the last one names what crashed, and in the end what it counted, as JSON.
 */

import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { StoredCalls } from '../../native/stored.ts'
import { rng, type Rng } from '../../pipeline/random.ts'

const [path, seed, calls] = process.argv.slice(2)
const addon = createRequire(import.meta.url)(path!) as StoredCalls
const folder = mkdtempSync(join(tmpdir(), 'stored-fuzz-'))
const file = join(folder, 'bricks')
writeFileSync(file, '')
const descriptor = openSync(file, 'r')

const counts = { calls: 0, right: 0, refused: 0 }
const problems: string[] = []
const messages = new Set<string>()
const say = (what: string): void => void writeSync(1, `${what}\n`)
const size = (draws: Rng, most: number): number => 1 + draws.integer(most)

/** Memory of exactly so many bytes, so that a sanitizer sees a step too far. */
function exact(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

interface Drawn {
  readonly shape: readonly [number, number, number]
  readonly brick: readonly [number, number]
  readonly as: number
  readonly element: number
  readonly stored: Uint8Array
  readonly scales: Float32Array | null
  readonly box: readonly number[]
}

function draw(draws: Rng): Drawn {
  const shape = [size(draws, 40), size(draws, 40), size(draws, 4)] as const
  const as = draws.integer(3)
  const element = [4, 1, 2][as]!
  const voxels = shape[0] * shape[1] * shape[2]
  // No NaN: JavaScript does not keep its bits.
  const stored =
    as === 0
      ? new Uint8Array(Float32Array.from({ length: voxels }, () => draws.uniform()).buffer)
      : Uint8Array.from({ length: voxels * element }, () => draws.integer(256))
  const scales = as === 2 ? Float32Array.from({ length: 3 * shape[2] }, () => draws.uniform()) : null
  const extents = shape.map(n => size(draws, n))
  const starts = shape.map((n, axis) => draws.integer(n - extents[axis]! + 1))
  return { shape, brick: [size(draws, 50), size(draws, 50)], as, element, stored, scales, box: [...starts, ...extents] }
}

/** The box, decoded by a plain loop. */
function expected({ shape: [nx, ny], as, stored, scales, box }: Drawn): Float32Array {
  const [x0, y0, z0, width, height, depth] = box as [number, number, number, number, number, number]
  const view = new DataView(stored.buffer)
  const values: number[] = []
  for (let z = z0; z < z0 + depth; z++)
    for (let y = y0; y < y0 + height; y++)
      for (let x = x0; x < x0 + width; x++) {
        const at = (z * ny + y) * nx + x
        if (as === 0) values.push(view.getFloat32(4 * at, true))
        else if (as === 1) values.push(stored[at]!)
        else {
          const code = view.getUint16(2 * at, true)
          const [least, step, greatest] = scales!.subarray(3 * z, 3 * z + 3)
          values.push(code === 65535 ? greatest! : least! + code * step!)
        }
      }
  return Float32Array.from(values)
}

/** Bricks by a plain loop: the bytes and their CRCs. */
function bricked({ shape: [nx, ny, nz], brick: [bx, by], element, stored }: Drawn): {
  bytes: Buffer
  crcs: Int32Array
} {
  const bytes: number[] = []
  const crcs: number[] = []
  for (let z = 0; z < nz; z++)
    for (let x0 = 0; x0 < nx; x0 += bx)
      for (let y0 = 0; y0 < ny; y0 += by) {
        const begin = bytes.length
        for (let y = y0; y < Math.min(ny, y0 + by); y++) {
          const at = ((z * ny + y) * nx + x0) * element
          bytes.push(...stored.subarray(at, at + Math.min(bx, nx - x0) * element))
        }
        crcs.push(crc32(Buffer.from(bytes.slice(begin))))
      }
  return { bytes: Buffer.from(bytes), crcs: Int32Array.from(crcs) }
}

function planesOf({ shape: [nx, ny], brick: [bx, by], as, element, scales, box }: Drawn): Float64Array {
  const perPlane = Math.ceil(nx / bx) * Math.ceil(ny / by)
  const rows = Array.from({ length: box[5]! }, (_, k) => box[2]! + k).flatMap(z => [
    z * nx * ny * element,
    as,
    z * perPlane,
    ...(scales?.subarray(3 * z, 3 * z + 3) ?? [0, 0, 0]),
  ])
  return Float64Array.from(rows)
}

function bytesOf(a: ArrayBufferView): Buffer {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength)
}

function same(what: string, found: Float32Array | Uint8Array | Int32Array, wanted: ArrayBufferView): void {
  if (!bytesOf(found).equals(bytesOf(wanted))) problems.push(`${what}: wrong`)
  else counts.right++
}

async function right(draws: Rng, i: number): Promise<void> {
  const drawn = draw(draws)
  const { shape, brick, as, element, stored, scales, box } = drawn
  const [x, y, , width, height, depth] = box as [number, number, number, number, number, number]
  const what = `${i}: ${JSON.stringify({ shape, brick, as, box })}`
  say(what)
  const wanted = expected(drawn)
  const decoded = new Float32Array(wanted.length)
  await addon.decodePlanes(exact(stored), as, shape, box, scales, decoded)
  same(`${what} decodePlanes`, decoded, wanted)

  const { bytes, crcs } = bricked(drawn)
  const cut = new Uint8Array(stored.length)
  const found = new Int32Array(crcs.length)
  await addon.brickPlanes(exact(stored), element, [...shape, ...brick], cut, found)
  same(`${what} brickPlanes`, cut, bytes)
  same(`${what} checksums`, found, crcs)

  writeFileSync(file, bytes)
  const plane = [shape[0], shape[1], ...brick, x, y, width, height]
  const read = new Float32Array(wanted.length)
  const [count, isDamaged, error] = await addon.readBricks(descriptor, plane, planesOf(drawn), crcs, read, false)
  same(`${what} readBricks`, read, wanted)
  if (isDamaged || error !== 0 || count < width * height * depth * element || count > bytes.length)
    problems.push(`${what}: read ${count} bytes, damaged ${isDamaged}, error ${error}`)
  const raw = new Uint8Array(wanted.length * element)
  await addon.readBricks(descriptor, plane, planesOf(drawn), crcs, raw, true)
  const again = new Float32Array(wanted.length)
  const scalesOfBox = scales?.slice(3 * box[2]!, 3 * (box[2]! + depth)) ?? null
  await addon.decodePlanes(raw, as, [width, height, depth], [0, 0, 0, width, height, depth], scalesOfBox, again)
  same(`${what} readBricks as stored`, again, wanted)

  // One byte of the box is another, or the file ends too early.
  const place = draws.integer(bytes.length)
  bytes[place]! ^= 1 + draws.integer(255)
  writeFileSync(file, bytes)
  const all = [shape[0], shape[1], ...brick, 0, 0, shape[0], shape[1]]
  const whole: Drawn = { ...drawn, box: [0, 0, 0, ...shape] }
  const to = new Float32Array(shape[0] * shape[1] * shape[2])
  if (!(await addon.readBricks(descriptor, all, planesOf(whole), crcs, to, false))[1])
    problems.push(`${what}: a change at ${place} was not seen`)
  truncateSync(file, draws.integer(bytes.length))
  if (!(await addon.readBricks(descriptor, all, planesOf(whole), crcs, to, false))[1])
    problems.push(`${what}: a short file was not seen`)
}

const junk = [undefined, null, NaN, -1, 2 ** 31, 2 ** 53, 0.5, 'text', [], {}, new Float32Array(3), new Uint8Array(3)]

async function spoilt(draws: Rng, i: number): Promise<void> {
  const drawn = draw(draws)
  const { shape, brick, as, element, stored, scales, box } = drawn
  const voxels = shape[0] * shape[1] * shape[2]
  const crcs = new Int32Array(Math.ceil(shape[0] / brick[0]) * Math.ceil(shape[1] / brick[1]) * shape[2])
  const inBox = box[3]! * box[4]! * box[5]!
  const plane = [shape[0], shape[1], ...brick, box[0], box[1], box[3], box[4]]
  const all: [keyof StoredCalls, unknown[]][] = [
    ['encodePlanes', [new Float32Array(voxels), 1, [shape[0] * shape[1], shape[2]], new Uint8Array(voxels), null]],
    [
      'encodePlanes',
      [
        new Float32Array(voxels),
        2,
        [shape[0] * shape[1], shape[2]],
        new Uint8Array(2 * voxels),
        new Float32Array(3 * shape[2]),
      ],
    ],
    ['decodePlanes', [stored, as, [...shape], [...box], scales, new Float32Array(inBox)]],
    ['brickPlanes', [stored, element, [...shape, ...brick], new Uint8Array(stored.length), crcs]],
    ['readBricks', [descriptor, plane, planesOf(drawn), crcs, new Float32Array(inBox), false]],
    ['readBricks', [descriptor, plane, planesOf(drawn), crcs, new Uint8Array(inBox * element), true]],
  ]
  const [name, args] = all[draws.integer(all.length)]!
  const at = draws.integer(args.length)
  const argument = args[at]
  if (Array.isArray(argument) && draws.integer(4) > 0) {
    const changed = [...(argument as unknown[])]
    const k = draws.integer(changed.length)
    changed[k] = draws.integer(2) === 0 ? Number(changed[k]) + 1 : junk[draws.integer(junk.length)]
    args[at] = changed
  } else if (argument instanceof Float64Array && draws.integer(4) > 0) {
    const changed = argument.slice()
    changed[draws.integer(changed.length)] = [NaN, -1, 2 ** 60, 1e300, 3, 0.5, Infinity][draws.integer(7)]!
    args[at] = changed
  } else if (ArrayBuffer.isView(argument) && draws.integer(3) > 0) {
    args[at] = (argument as Uint8Array).subarray(1)
  } else {
    args[at] = junk[draws.integer(junk.length)]
  }
  // Nobody else's files.
  if (name === 'readBricks' && typeof args[0] === 'number') args[0] = descriptor
  say(`${i} ${name}, argument ${at}`)
  try {
    await (addon[name] as (...args: unknown[]) => Promise<unknown>)(...args)
  } catch (error) {
    counts.refused++
    if (!(error instanceof Error) || error.message === '') problems.push(`${name}: threw ${String(error)}`)
    else messages.add(`${name}: ${error.message.replaceAll(/-?\d[\d.e+]*/g, 'N')}`)
  }
}

for (let i = 0; i < Number(calls); i++) {
  const draws = rng(Number(seed), i, 0, 'stored fuzz')
  counts.calls++
  await (i % 2 === 0 ? right : spoilt)(draws, i)
}
// Each length around those at which the checksum goes another way, at each place.
for (let length = 1; length < 300; length++) {
  const bytes = Uint8Array.from({ length: length + 1 }, (_, i) => Math.imul(i + length, 2654435761) >>> 24)
  const part = bytes.subarray(1)
  const crcs = new Int32Array(1)
  await addon.brickPlanes(part, 1, [length, 1, 1, length, 1], new Uint8Array(length), crcs)
  same(`checksum of ${length} bytes`, crcs, Int32Array.of(crc32(Buffer.from(part))))
}
closeSync(descriptor)
rmSync(folder, { recursive: true })
say(JSON.stringify({ ...counts, problems: problems.slice(0, 20), messages: [...messages] }))
process.exitCode = problems.length > 0 ? 1 : 0
