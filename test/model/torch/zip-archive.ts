import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { pickle } from '../../../model/torch/pickle-writer.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { dict, floats, tensor, zipFile } from '../../support/torch-files.ts'

const content = pickle(dict(['w', tensor({ count: 6, shape: [6], strides: [1] })]))
const values = floats(1, 2, 3, 4, 5, 6)

t.test('entries that share their bytes are refused', async t => {
  const path = join(t.testdir(), 'overlap.pt')
  const storages = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`, values]))
  const archive = readFileSync(zipFile(path, content, storages))
  // Every entry of the directory now has the place, the size and the checksum of one of 100 kB.
  const end = archive.lastIndexOf('PK\x05\x06')
  for (let at = archive.readUInt32LE(end + 16); at < end; at += 46 + archive.readUInt16LE(at + 28)) {
    archive.writeUInt32LE(20_000, at + 20)
    archive.writeUInt32LE(20_000, at + 24)
  }
  writeFileSync(path, archive)
  await t.rejects(readTorch(path), { code: 'ERR_WEIGHTS', message: /lie apart, found \d+ bytes in \d+/ })
})

t.test('a zip64 record that is said to lie beyond any file is refused, and the process lives on', async t => {
  const path = join(t.testdir(), 'far.pt')
  const archive = readFileSync(zipFile(path, content, { '0': values }))
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(0x07064b50)
  locator.writeBigUInt64LE(49_258_120_924_466_790n, 8)
  const end = archive.lastIndexOf('PK\x05\x06')
  archive.writeUInt32LE(0xffffffff, end + 16)
  writeFileSync(path, Buffer.concat([archive.subarray(0, end), locator, archive.subarray(end)]))
  await t.rejects(readTorch(path), { code: 'ERR_WEIGHTS', message: /bytes at byte \d+/ })
})

t.test('a pickle that was damaged is refused, though it still reads', async t => {
  const path = join(t.testdir(), 'swapped.pt')
  const two = dict(
    ['a', tensor({ count: 6, key: '0', shape: [6], strides: [1] })],
    ['b', tensor({ count: 6, key: '1', shape: [6], strides: [1] })],
  )
  const archive = readFileSync(zipFile(path, pickle(two), { '0': values, '1': values }))
  archive[archive.indexOf('X\x01\0\0\x000', 'latin1') + 5] = '1'.charCodeAt(0) // a has b's values now
  writeFileSync(path, archive)
  await t.rejects(readTorch(path), { code: 'ERR_WEIGHTS', message: /checksum of "archive\/data\.pkl"/ })
})

t.test('an archive of more entries than any checkpoint has is not listed', async t => {
  const more = Array.from({ length: 20_000 }, (_, i) => ({ name: `archive/data/x${i}`, bytes: new Uint8Array(0) }))
  const path = zipFile(join(t.testdir(), 'entries.pt'), content, { '0': values }, more)
  await t.rejects(readTorch(path), { code: 'ERR_WEIGHTS', message: /at most 20000 entries .*, found 20003/ })
})
