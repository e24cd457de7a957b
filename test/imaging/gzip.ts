import { createReadStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createGunzip, crc32, gunzipSync, gzipSync, type ZlibOptions } from 'node:zlib'
import t from 'tap'
import { gzipped } from '../../imaging/gzip.ts'
import { rng } from '../../pipeline/random.ts'

async function* cut(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const length of lengths) {
    yield bytes.slice(at, at + length)
    at += length
  }
  if (at < bytes.length) yield bytes.slice(at)
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield noise
  throw new Error('no more')
}

async function whole(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of source) pieces.push(piece)
  return Buffer.concat(pieces)
}

const random = rng(1, 0, 0, 'gzip')
const noise = Uint8Array.from({ length: 300_000 }, () => (random.uniform() < 0.8 ? 0 : random.integer(256)))
const blank = new Uint8Array(300_000)
const mixed = new Uint8Array(300_000)
mixed.set(noise.subarray(0, 1000), 150_000)

for (const [name, bytes] of Object.entries({ noise, blank, mixed, nothing: new Uint8Array(0) })) {
  t.test(`${name}: any gunzip reads it, in any cuts, and it is one member`, async t => {
    for (const lengths of [[], [1], [100_000, 100_000, 50_000], [0, 65_536, 65_536, 65_536, 65_536], [7, 0, 0, 3]]) {
      for (const level of [1, 4, 9]) {
        const packed = await whole(gzipped(cut(bytes, lengths), level))
        t.ok(gunzipSync(packed).equals(bytes), `${lengths} at ${level}`)
        t.ok(packed.equals(await whole(gzipped(cut(bytes, lengths), level))), 'again the same bytes')
      }
    }
    const packed = await whole(gzipped(cut(bytes, [131_072, 131_072]), 4))
    t.equal(packed.readUInt32LE(packed.length - 8), crc32(bytes))
    t.equal(packed.readUInt32LE(packed.length - 4), bytes.length)
    t.ok(packed.length <= 1.02 * gzipSync(bytes, { level: 4 }).length + 200, `${packed.length} bytes`)
    // A second member would be found as bytes behind the first.
    const path = join(t.testdir({}), 'x.gz')
    writeFileSync(path, packed)
    let inflated = 0
    const gunzip = createReadStream(path).pipe(createGunzip())
    for await (const piece of gunzip) inflated += (piece as Uint8Array).length
    t.equal(inflated, bytes.length)
    t.equal(gunzip.bytesWritten, packed.length)
  })
}

t.test('what stops the source stops the file', async t => {
  await t.rejects(whole(gzipped(failing(), 4)), /no more/)
})

t.test('a blank block that failed once is tried again', async t => {
  const zlib = await import('node:zlib')
  let failures = 1
  const deflateRaw = (
    bytes: Uint8Array,
    options: ZlibOptions,
    done: (error: Error | null, made: Buffer) => void,
  ): void => {
    if (failures-- > 0) done(new Error('no memory'), Buffer.alloc(0))
    else zlib.deflateRaw(bytes, options, done)
  }
  const { gzipped: sometimes } = await t.mockImport<typeof import('../../imaging/gzip.ts')>('../../imaging/gzip.js', {
    'node:zlib': { ...zlib, deflateRaw },
  })
  await t.rejects(whole(sometimes(cut(blank, []), 4)), /no memory/)
  t.ok(gunzipSync(await whole(sometimes(cut(blank, []), 4))).equals(blank))
})
