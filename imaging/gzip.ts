/** Gzip with several cores: RFC 1952's one member, of blocks that are deflated side by side. */

import { constants, crc32, deflateRaw } from 'node:zlib'
import { promisify } from 'node:util'

const deflated = promisify(deflateRaw)

/** Blocks at work or done and not yet taken. */
export const blocksAhead = 3

/** Name, time and system are left out, so that files are equal across machines. */
const head = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
/** An empty last block of fixed codes. */
const last = Uint8Array.of(3, 0)

/**
 * The blocks as one gzip file. Each is deflated by itself: the file is a little larger than in one
 * piece, and its bytes depend on the blocks and the level alone. A block must not change until `blocksAhead` - 1 others have
 * been taken after it and the next one is asked for.
 */
export async function* gzipped(blocks: AsyncIterable<Uint8Array>, level: number): AsyncGenerator<Uint8Array> {
  const line: Promise<Uint8Array>[] = []
  let [checksum, length] = [0, 0]
  yield head
  for await (const block of blocks) {
    // Of nothing a checksum starts anew.
    if (block.length === 0) continue
    const work = deflatedBlock(block, level)
    work.catch(() => undefined) // heard when it is its turn
    line.push(work)
    checksum = crc32(block, checksum)
    length += block.length
    if (line.length === blocksAhead) yield await line.shift()!
  }
  for (const work of line) yield await work
  const tail = new Uint8Array(last.length + 8)
  tail.set(last)
  const view = new DataView(tail.buffer, last.length)
  view.setUint32(0, checksum, true)
  view.setUint32(4, length % 2 ** 32, true)
  yield tail
}

/** Most of a mask is background: what a block of it becomes is found out once. */
const blanks = new Map<string, Promise<Uint8Array>>()

function deflatedBlock(block: Uint8Array, level: number): Promise<Uint8Array> {
  // A full flush ends on a whole byte and refers to nothing before it.
  const work = (): Promise<Uint8Array> =>
    deflated(block, { level, finishFlush: constants.Z_FULL_FLUSH, chunkSize: 1 << 18 })
  if (!isBlank(block)) return work()
  const name = `${level} ${block.length}`
  let blank = blanks.get(name)
  if (!blank) {
    blank = work()
    // Few lengths come often.
    if (blanks.size > 64) blanks.clear()
    blanks.set(name, blank)
    // What failed once may do so for want of memory alone.
    blank.catch(() => blanks.delete(name))
  }
  return blank
}

function isBlank(block: Uint8Array): boolean {
  return block.length > 0 && block[0] === 0 && Buffer.compare(block.subarray(1), block.subarray(0, -1)) === 0
}
