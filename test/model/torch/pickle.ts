import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { pickle } from '../../../model/torch/pickle-writer.ts'
import { openTorch } from '../../../model/torch/read-torch.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { bytesOf, dict, floats, rawPickle, tensor, zipFile } from '../../support/torch-files.ts'

const values = floats(1, 2, 3, 4, 5, 6)
const weights = pickle(dict(['w', tensor({ count: 6, shape: [6], strides: [1] })])).subarray(2, -1)

/** A pair of a pair of a pair of ...: `depth` opcodes that would be 2^depth words as text. */
function pairs(depth: number): Buffer {
  const doubled = Array.from({ length: depth }, (_, i) => bytesOf('h', i, '\x86q', i + 1))
  return bytesOf('X\x01\0\0\0aq\0', ...doubled)
}

t.test('a value that holds itself many times over is never spelled out', async t => {
  const folder = t.testdir()
  const path = join(folder, 'laugh.pt')
  const many = pairs(60)
  const refused = (data: Buffer, message: RegExp): Promise<unknown> =>
    t.rejects(readTorch(zipFile(path, data, { '0': values })), { code: 'ERR_WEIGHTS', message })
  await refused(rawPickle('}(', many, 'Nu.'), /a list or tuple \(None\)/)
  await refused(rawPickle('ctorch\ndevice\n', many, '\x85R.'), /expected a state_dict/)
  const id = '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ'
  await refused(
    rawPickle('}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(', id, 'K\0', many, 'K\x01\x85\x89NtRu.'),
    /shape \(a list or tuple, a list or tuple\)/,
  )
  const conf = rawPickle('}(X\x05\0\0\0model', weights, 'X\x0a\0\0\0train_conf}(', many, 'Nuu.')
  t.same((await readTorch(zipFile(path, conf, { '0': values }))).trainConf, { 'a list or tuple': null })
})

t.test('the legacy layout may have such values between its pickles', async t => {
  const path = join(t.testdir(), 'laugh.pt')
  const many = rawPickle(pairs(60), '.')
  const magic = bytesOf('\x80\x02\x8a\x0a', Buffer.from('6cfc9c46f9206aa85019', 'hex'), '.')
  writeFileSync(path, bytesOf(magic, many))
  await t.rejects(openTorch(path), { code: 'ERR_WEIGHTS', message: /expected protocol 1001, found a list or tuple/ })
  writeFileSync(path, bytesOf(magic, pickle(1001), pickle(dict()), pickle(dict()), rawPickle('](', pairs(60), 'e.')))
  await t.rejects(openTorch(path), { code: 'ERR_WEIGHTS', message: /storage a list or tuple belongs to no tensor/ })
})

t.test('a message repeats no more than the beginning of a long text', async t => {
  const path = join(t.testdir(), 'long.pt')
  const long = bytesOf('X', Buffer.from('00001000', 'hex'), Buffer.alloc(1 << 20, 'a'))
  for (const data of [rawPickle('}(', long, 'Nu.'), rawPickle(long, long, '\x93.')])
    await readTorch(zipFile(path, data)).then(
      () => t.fail('expected a refusal'),
      (error: Error) => t.ok(error.message.length < 1000, error.message.slice(0, 300)),
    )
})

t.test('text of a size that no name has is refused before it is read, though the file has as many bytes', async t => {
  const path = join(t.testdir(), 'holes.pt')
  const magic = bytesOf('\x80\x02\x8a\x0a', Buffer.from('6cfc9c46f9206aa85019', 'hex'), '.')
  for (const opcode of ['X', 'B', 'T']) {
    const long = rawPickle(opcode, Buffer.from('0000002c', 'hex'))
    writeFileSync(path, bytesOf(magic, pickle(1001), pickle(dict()), long))
    truncateSync(path, 2 ** 30)
    await t.rejects(openTorch(path), { code: 'ERR_WEIGHTS', message: /of its pickle: longer than 16777216 bytes/ })
  }
})

t.test('integers of any length', async t => {
  const path = join(t.testdir(), 'integers.pt')
  const integers: [hex: string, value: number | bigint][] = [
    ['', 0],
    ['ff', -1],
    ['0080', -32768],
    ['ff7f', 32767],
    ['00000000000020', 2 ** 53],
    ['000000000000000001', 2n ** 64n],
    ['0000000000000000ff', -(2n ** 64n)],
  ]
  const longs = integers.map(([hex]) => bytesOf('\x8a', hex.length / 2, Buffer.from(hex, 'hex')))
  const { value, close } = await openTorch(zipFile(path, rawPickle('(', ...longs, 't.')))
  close()
  const expected = integers.map(([, number]) => (number === 2 ** 53 ? 2n ** 53n : number))
  t.same(value, expected)
})
