import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { GunzipFile } from '../../imaging/gunzip-file.ts'
import { fingerprintOf, piecesOf, readingBytes, type StoredBytes } from '../../imaging/stored-bytes.ts'
import { rng } from '../../pipeline/random.ts'
import { skip } from '../support/kernels.ts'

const draw = rng(1, 0, 0, 'gunzip file')
/** Longer, compressed, than what the disk gives at once. */
const bytes = Buffer.from(Array.from({ length: 1_500_000 }, (_, i) => (i % 2 === 0 ? draw.integer(200) : 1)))
const packed = gzipSync(bytes)

function fileOf(t: Tap, content: Uint8Array): string {
  const path = join(t.testdir(), 'x.gz')
  writeFileSync(path, content)
  return path
}
type Tap = Pick<typeof t, 'testdir'>

async function sourceOf(path: string, offset: number, count: number): Promise<StoredBytes> {
  return { path, isCompressed: true, offset, bytes: count, fingerprint: await fingerprintOf(path) }
}

async function whole(source: StoredBytes, pieceBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of piecesOf(source, pieceBytes)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** How many times this process has the file open. */
function timesOpen(path: string): number {
  return readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false // the one that lists them
    }
  }).length
}

t.test('pieces of any size, from any offset', { skip }, async t => {
  const path = fileOf(t, packed)
  for (const [offset, pieceBytes] of [
    [0, 1_500_000],
    [352, 65_536],
    [352, 32_769],
    [200_000, 1_000_001],
    [1_499_999, 7],
  ] as const) {
    const found = await whole(await sourceOf(path, offset, bytes.length - offset), pieceBytes)
    t.ok(found.equals(bytes.subarray(offset)), `${pieceBytes} bytes from ${offset}`)
  }
  t.ok((await whole(await sourceOf(path, 5, 100), 30)).equals(bytes.subarray(5, 105)), 'and bytes behind them')
})

t.test('a piece is good until the next is asked for', { skip }, async t => {
  let at = 0
  for await (const piece of piecesOf(await sourceOf(fileOf(t, packed), 0, bytes.length), 300_000)) {
    await new Promise(resolve => setTimeout(resolve, 20)) // the next one is inflated meanwhile
    t.ok(Buffer.from(piece).equals(bytes.subarray(at, at + piece.length)), `from ${at}`)
    at += piece.length
  }
  t.equal(at, bytes.length)
})

t.test('reading says where the stream ends, and goes on saying so', { skip }, async t => {
  for (const [name, content] of Object.entries({
    plain: packed,
    padded: Buffer.concat([packed, Buffer.alloc(600_000), packed]),
  })) {
    const file = await GunzipFile.open(fileOf(t, content))
    const to = new Uint8Array(1_000_000)
    t.same([await file.readInto(to), await file.readInto(to), await file.readInto(to)], [1_000_000, 500_000, 0], name)
    await file.close()
  }
})

t.test('what is wrong has the words of zlib', { skip }, async t => {
  const end = Buffer.from(packed)
  end[end.length - 6]! ^= 1
  for (const [content, code, message] of [
    [end, 'Z_DATA_ERROR', 'incorrect data check'],
    [packed.subarray(0, -1), 'Z_BUF_ERROR', 'unexpected end of file'],
    [packed.subarray(0, 300_000), 'Z_BUF_ERROR', 'unexpected end of file'],
    [Buffer.concat([packed, Buffer.from('rubbish')]), 'Z_DATA_ERROR', 'incorrect header check'],
    [Buffer.concat([packed, packed.subarray(0, 5)]), 'Z_BUF_ERROR', 'unexpected end of file'],
  ] as const) {
    const path = fileOf(t, content)
    const file = await GunzipFile.open(path)
    await t.rejects(file.readInto(new Uint8Array(2_000_000)), { code, message })
    await file.close()
    await t.rejects(whole(await sourceOf(path, 0, bytes.length), 400_000), {
      code: 'ERR_FILE',
      message: code === 'Z_BUF_ERROR' ? /ends in the middle/ : new RegExp(`damaged \\(${message}\\)`),
    })
  }
  await t.rejects(whole(await sourceOf(fileOf(t, packed), 0, bytes.length + 1), 400_000), {
    message: /expected 1500001 bytes of voxels, found 1500000/,
  })
})

t.test(
  'whoever stops early closes the file, and nothing is written any more',
  { skip: skip || (process.platform !== 'linux' && 'it looks into /proc') },
  async t => {
    const path = fileOf(t, packed)
    const held: [Uint8Array, Buffer][] = []
    for (let i = 0; i < 20; i++) {
      for await (const piece of piecesOf(await sourceOf(path, 0, bytes.length), 50_000)) {
        held.push([piece, Buffer.from(piece)])
        break
      }
      t.equal(timesOpen(path), 0)
    }
    await t.rejects(async () => {
      for await (const _ of piecesOf(await sourceOf(path, 0, bytes.length), 50_000)) throw new Error('the reader')
    }, /the reader/)
    t.equal(timesOpen(path), 0)
    await new Promise(resolve => setTimeout(resolve, 50))
    t.ok(held.every(([piece, was]) => was.equals(piece)))
  },
)

t.test('no more memory than is claimed', { skip }, async t => {
  const source = await sourceOf(fileOf(t, packed), 0, bytes.length)
  const claimed = readingBytes(source, 200_000)
  let most = 0
  const before = process.memoryUsage().arrayBuffers
  for await (const _ of piecesOf(source, 200_000)) {
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  t.ok(most <= claimed, `${most} bytes of ${claimed}`)
  t.ok(most > 400_000, 'two pieces are there')
})
