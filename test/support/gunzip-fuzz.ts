/**
 * Inflates gzip streams at random in steps of any size and compares with node:zlib: what comes out, what is refused and in
 * which words; whole streams, damaged and cut ones, rubbish; then calls with arguments that are spoilt. In a process of its
 * own: a crash must not take the tests along. `node gunzip-fuzz.js <addon> <seed> <calls>`
 *
 * Writes a line before each stream, so that the last one names what crashed, and in the end what it counted, as JSON.
 */

import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants, crc32, deflateRawSync, gunzipSync, inflateRawSync, type Zlib } from 'node:zlib'
import type { GunzipCalls } from '../../native/gunzip.ts'
import { rng, type Rng } from '../../pipeline/random.ts'

const [path, seed, calls] = process.argv.slice(2)
const addon = createRequire(import.meta.url)(path!) as GunzipCalls

const counts = { streams: 0, accepted: 0, refused: 0, spoilt: 0 }
const problems: string[] = []
const messages = new Set<string>()
const spoiltMessages = new Set<string>()
const say = (what: string): void => void writeSync(1, `${what}\n`)
const pick = <T>(draws: Rng, list: readonly T[]): T => list[draws.integer(list.length)]!
const noise = (draws: Rng, length: number): Buffer => Buffer.from(Array.from({ length }, () => draws.integer(256)))

/** What deflate treats differently: noise, runs, few values, a scan's noise, text that comes again and again. */
function content(draws: Rng, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  const kind = draws.integer(6)
  const values = 1 + draws.integer(256)
  const before = 1 + draws.integer(kind === 3 ? 33_000 : 20)
  for (let i = 0; i < length; i++) {
    if (kind === 0) bytes[i] = draws.integer(256)
    else if (kind === 1) bytes[i] = draws.uniform() < 0.01 ? draws.integer(256) : (bytes[i - 1] ?? 0)
    else if (kind === 2) bytes[i] = i % 2 === 0 ? 100 * draws.uniform() * draws.uniform() : 1
    else if (kind === 3 || kind === 4) bytes[i] = i < before ? draws.integer(values) : bytes[i - before]!
    else bytes[i] = Math.floor(values * draws.uniform() ** 4)
  }
  return bytes
}

/** Small ones, those around the window's edge, and now and then one of several windows. */
function length(draws: Rng): number {
  const edge = pick(draws, [0, 1, 258, 288, 32_768, 65_536])
  return pick(draws, [
    draws.integer(40),
    draws.integer(3000),
    Math.max(0, edge + draws.integer(40) - 20),
    draws.integer(100_000),
  ])
}

function member(draws: Rng, bytes: Buffer): Buffer {
  const flags = draws.integer(3) === 0 ? draws.integer(32) : 0
  const text = (): Buffer => Buffer.concat([noise(draws, draws.integer(30)).map(byte => byte | 1), Buffer.alloc(1)])
  const extra = noise(draws, draws.integer(draws.integer(10) === 0 ? 65_536 : 20))
  const extraLength = Buffer.of(extra.length & 255, extra.length >> 8)
  const header = Buffer.concat([
    Buffer.of(0x1f, 0x8b, 8, flags),
    noise(draws, 6),
    ...(flags & 4 ? [extraLength, extra] : []),
    ...(flags & 8 ? [text()] : []),
    ...(flags & 16 ? [text()] : []),
  ])
  const headerCrc = Buffer.alloc(flags & 2)
  if (flags & 2) headerCrc.writeUInt16LE(crc32(header) & 0xffff)
  return Buffer.concat([header, headerCrc, deflated(draws, bytes), trailer(bytes)])
}

function deflated(draws: Rng, bytes: Buffer): Buffer {
  const { Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_FILTERED, Z_DEFAULT_STRATEGY } = constants
  return deflateRawSync(bytes, {
    level: draws.integer(10),
    strategy: pick(draws, [Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_FILTERED, Z_DEFAULT_STRATEGY]),
    windowBits: 9 + draws.integer(7),
    memLevel: 1 + draws.integer(9),
  })
}

function trailer(bytes: Buffer): Buffer {
  const ends = Buffer.alloc(8)
  ends.writeUInt32LE(crc32(bytes))
  ends.writeUInt32LE(bytes.length, 4)
  return ends
}

function stream(draws: Rng): Buffer {
  const members = draws.integer(4) === 0 ? draws.integer(20) : 1
  const most = members > 1 ? 400 : 200_000
  const whole = Array.from({ length: members }, () => member(draws, content(draws, Math.min(most, length(draws)))))
  const behind = [Buffer.alloc(0), Buffer.alloc(1 + draws.integer(9)), noise(draws, draws.integer(5))]
  return Buffer.concat([...whole, pick(draws, behind), pick(draws, behind)])
}

/** Bits flipped, the end cut off, or from somewhere on something else; the checksum at the end is rarely reached. */
function damaged(draws: Rng, bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  if (bytes.length === 0) return noise(draws, draws.integer(30))
  // Where the codes of a block are described, more often than anywhere.
  const at = (): number => draws.integer(draws.integer(2) === 0 ? Math.min(120, bytes.length) : bytes.length)
  const kind = draws.integer(4)
  if (kind === 0) return changed.subarray(0, at())
  for (let left = 1 + draws.integer(3); left > 0; left--) changed[at()]! ^= 1 << draws.integer(8)
  return kind === 1 ? Buffer.concat([changed.subarray(0, at()), noise(draws, draws.integer(300))]) : changed
}

/** Bits flipped; where zlib still inflates it, with the checksum of what it then holds. */
function mended(draws: Rng, bytes: Buffer): Buffer {
  const body = deflated(draws, bytes)
  for (let left = 1 + draws.integer(2); left > 0; left--) body[draws.integer(body.length)]! ^= 1 << draws.integer(8)
  const header = Buffer.from('1f8b0800000000000003', 'hex')
  try {
    // What its types leave out: with `info` it gives the inflater as well.
    const { buffer, engine } = inflateRawSync(body, { info: true }) as unknown as { buffer: Buffer; engine: Zlib }
    return Buffer.concat([header, body.subarray(0, engine.bytesWritten), trailer(buffer)])
  } catch {
    return Buffer.concat([header, body, trailer(bytes)])
  }
}

/** A header, then blocks of codes that nobody made. */
function rubbish(draws: Rng): Buffer {
  const blocks = noise(draws, 12 + draws.integer(400))
  blocks[0] = (blocks[0]! & 0xf8) | pick(draws, [2, 3, 4, 5])
  // Few code lengths, now and then: such codes are complete more often.
  if (draws.integer(2) === 0) blocks.fill(pick(draws, [0, 0x92, 0x24, 0xff]), 2, 3 + draws.integer(8))
  return Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), blocks])
}

type Found = { readonly bytes: Buffer } | { readonly code: string; readonly message: string }

function byZlib(bytes: Buffer): Found {
  try {
    return { bytes: gunzipSync(bytes) }
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code!, message: (error as Error).message }
  }
}

/** In steps that take and give so much; each in memory of its own size, so that a sanitizer sees a step too far. */
async function bySteps(bytes: Buffer, taken: () => number, given: () => number): Promise<Found> {
  const stream = addon.openGunzip()
  const made: Uint8Array[] = []
  let state = 0
  for (let at = 0, isFull = false; (at < bytes.length || isFull) && state < 2;) {
    const from = new Uint8Array(bytes.subarray(at, at + taken()))
    const to = new Uint8Array(given())
    const [used, count, next, damage] = await addon.gunzip(stream, from, to)
    if (damage !== null) {
      const again = await addon.gunzip(stream, from, to)
      if (again[0] !== 0 || again[1] !== 0 || again[3] !== damage) problems.push(`${damage}: forgotten`)
      return { code: 'Z_DATA_ERROR', message: damage }
    }
    if (used < from.length && count < to.length && next < 2) problems.push(`stopped after ${at + used} bytes`)
    at += used
    state = next
    isFull = count === to.length && to.length > 0
    made.push(to.subarray(0, count))
  }
  if (state === 0) return { code: 'Z_BUF_ERROR', message: 'unexpected end of file' }
  return { bytes: Buffer.concat(made) }
}

async function compare(draws: Rng, what: string, bytes: Buffer): Promise<void> {
  say(`${what}, ${bytes.length} bytes`)
  counts.streams++
  const expected = byZlib(bytes)
  const most = (list: readonly number[]): (() => number) => {
    const n = pick(draws, list)
    return n < 0 ? () => 1 + draws.integer(-n) : () => n
  }
  const isLong = bytes.length > 400 || ('bytes' in expected && expected.bytes.length > 400)
  const taken = most(isLong ? [1000, 1 << 18, -5000] : [1, 7, 1000, -100])
  const given = most(isLong ? [1000, 32_768, 1 << 18, -40_000] : [1, 7, 300, 1000, -100])
  const found = await bySteps(bytes, taken, given)
  if ('bytes' in expected) {
    counts.accepted++
    if (!('bytes' in found)) problems.push(`${what}: refused, ${found.message}`)
    else if (!found.bytes.equals(expected.bytes)) problems.push(`${what}: wrong bytes`)
  } else {
    counts.refused++
    messages.add(expected.message)
    if ('bytes' in found) problems.push(`${what}: accepted, expected ${expected.message}`)
    else if (found.code !== expected.code || found.message !== expected.message)
      problems.push(`${what}: expected ${expected.message}, found ${found.message}`)
  }
}

const junk = [undefined, null, NaN, 'text', 1n, [], {}, new Float32Array(3), new DataView(new ArrayBuffer(8)), () => 0]

async function spoilt(draws: Rng, what: string): Promise<void> {
  const stream = addon.openGunzip()
  const args: unknown[] = [stream, new Uint8Array(member(draws, Buffer.alloc(100))), new Uint8Array(50)]
  const at = draws.integer(3)
  args[at] = at === 0 && draws.integer(3) === 0 ? Object.create(stream) : pick(draws, junk)
  say(`${what}: argument ${at}`)
  counts.spoilt++
  const call = addon.gunzip as (...args: unknown[]) => Promise<unknown>
  const refused = await Promise.resolve()
    .then(() => call(...args))
    .catch((error: Error) => error.message)
  if (typeof refused === 'string') spoiltMessages.add(refused)
  else problems.push(`${what}: argument ${at} was taken`)
  // The stream is as it was, and serves one step at a time.
  const [, from, to] = [stream, new Uint8Array(member(draws, Buffer.alloc(100))), new Uint8Array(200)]
  const first = call(stream, from, to)
  const second = await Promise.resolve()
    .then(() => call(stream, from, to))
    .catch((error: Error) => error.message)
  if (typeof second === 'string') spoiltMessages.add(second)
  else problems.push(`${what}: two steps at once`)
  const [, made, state] = (await first) as [number, number, number]
  if (made !== 100 || state !== 1) problems.push(`${what}: ${made} bytes, state ${state}`)
}

for (let i = 0; i < Number(calls); i++) {
  const draws = rng(Number(seed), i, 0, 'gunzip fuzz')
  if (i % 8 === 7) await spoilt(draws, `${i} spoilt`)
  else if (i % 8 === 6) await compare(draws, `${i} rubbish`, rubbish(draws))
  else if (i % 2 === 0) await compare(draws, `${i} whole`, stream(draws))
  else {
    const bytes = content(draws, draws.integer(1500))
    const packed = member(draws, bytes)
    for (let k = 0; k < 3; k++) {
      await compare(draws, `${i}.${k} damaged`, damaged(draws, packed))
      await compare(draws, `${i}.${k} mended`, mended(draws, bytes))
    }
  }
}
say(
  JSON.stringify({
    ...counts,
    problems: problems.slice(0, 20),
    messages: [...messages],
    spoiltMessages: [...spoiltMessages],
  }),
)
process.exitCode = problems.length > 0 ? 1 : 0
