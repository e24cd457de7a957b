import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Call, Name, PersistentId, pickle, Tuple, type Pickled } from '../../../model/torch/pickle-writer.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { rng } from '../../../pipeline/random.ts'
import { dict, floats, legacyFile, rawPickle, tensor, zipFile, type View } from '../../support/torch-files.ts'

const six = { count: 6, shape: [2, 3], strides: [3, 1] }
const values = floats(1, 2, 3, 4, 5, 6)
const refused = (t: Test, path: string, message: RegExp): Promise<unknown> =>
  t.rejects(readTorch(path), { code: 'ERR_WEIGHTS', message })

t.test('a tensor is a view: offset, strides, shared storages', async t => {
  const folder = t.testdir()
  const content = dict(
    ['plain', tensor(six)],
    ['transposed', tensor({ count: 6, shape: [3, 2], strides: [1, 3] })],
    ['column', tensor({ count: 6, offset: 1, shape: [2], strides: [3] })],
    ['repeated', tensor({ count: 6, offset: 5, shape: [3], strides: [0] })],
    ['scalar', tensor({ count: 6, offset: 4, shape: [], strides: [] })],
    ['empty', tensor({ count: 6, offset: 6, shape: [0, 3], strides: [3, 1] })],
  )
  const zip = zipFile(join(folder, 'views.pt'), pickle(content), { '0': values })
  const legacy = legacyFile(join(folder, 'legacy.pt'), pickle(content), { '0': { count: 6, bytes: values } })
  for (const path of [zip, legacy]) {
    const { tensors } = await readTorch(path)
    const found = Object.fromEntries([...tensors].map(([name, { shape, data }]) => [name, [shape, [...data]]]))
    t.same(found, {
      plain: [
        [2, 3],
        [1, 2, 3, 4, 5, 6],
      ],
      transposed: [
        [3, 2],
        [1, 4, 2, 5, 3, 6],
      ],
      column: [[2], [2, 5]],
      repeated: [[3], [6, 6, 6]],
      scalar: [[], [5]],
      empty: [[0, 3], []],
    })
  }
})

t.test('a storage of the legacy layout may be a view of another', async t => {
  const part = tensor({ count: 6, shape: [2], strides: [1], view: ['v', 3, 2] })
  const path = legacyFile(join(t.testdir(), 'view.pt'), pickle(dict(['part', part])), {
    '0': { count: 6, bytes: values },
  })
  t.same([...(await readTorch(path)).tensors.get('part')!.data], [4, 5])
  const beyond = tensor({ count: 6, shape: [2], strides: [1], view: ['v', 5, 2] })
  const bad = legacyFile(join(t.testdir(), 'bad.pt'), pickle(dict(['part', beyond])), {
    '0': { count: 6, bytes: values },
  })
  await refused(t, bad, /view of storage 0 ends at byte 28 of 24/)
})

t.test('every number format, in either byte order', async t => {
  const folder = t.testdir()
  const formats: [type: string, bytes: Buffer, expected: number[]][] = [
    ['DoubleStorage', Buffer.from(Float64Array.of(0.1, -2).buffer), [Math.fround(0.1), -2]],
    ['HalfStorage', Buffer.from('003c00c0', 'hex'), [1, -2]],
    ['BFloat16Storage', Buffer.from('803f00c0', 'hex'), [1, -2]],
    ['LongStorage', Buffer.from(BigInt64Array.of(7n, -2n).buffer), [7, -2]],
    ['IntStorage', Buffer.from(Int32Array.of(7, -2).buffer), [7, -2]],
    ['ShortStorage', Buffer.from(Int16Array.of(7, -2).buffer), [7, -2]],
    ['CharStorage', Buffer.from(Int8Array.of(7, -2).buffer), [7, -2]],
    ['ByteStorage', Buffer.from([7, 254]), [7, 254]],
    ['BoolStorage', Buffer.from([1, 0]), [1, 0]],
  ]
  for (const [type, bytes, expected] of formats) {
    const content = pickle(dict(['x', tensor({ type, count: 2, shape: [2], strides: [1] })]))
    const little = zipFile(join(folder, `${type}.pt`), content, { '0': bytes })
    t.same([...(await readTorch(little)).tensors.get('x')!.data], expected, type)
    const width = bytes.length / 2
    const swapped = Buffer.from(bytes)
    if (width === 2) swapped.swap16()
    else if (width === 4) swapped.swap32()
    else if (width === 8) swapped.swap64()
    const order = [{ name: 'archive/byteorder', bytes: Buffer.from('big') }]
    const big = zipFile(join(folder, `${type}-big.pt`), content, { '0': swapped }, order)
    t.same([...(await readTorch(big)).tensors.get('x')!.data], expected, `${type}, big-endian`)
  }
  const untyped = new Call(
    new Name('torch._utils', '_rebuild_tensor_v3'),
    new Tuple(
      new PersistentId(new Tuple('storage', new Name('torch', 'UntypedStorage'), '0', 'cpu', 8)),
      0,
      new Tuple(2),
      new Tuple(1),
      false,
      null,
      new Name('torch', 'float32'),
    ),
  )
  const path = zipFile(join(folder, 'untyped.pt'), pickle(dict(['x', untyped])), { '0': floats(3, 4) })
  t.same([...(await readTorch(path)).tensors.get('x')!.data], [3, 4], 'bytes without a type')
})

t.test('weights are found in every dress, and nowhere else', async t => {
  const folder = t.testdir()
  const path = join(folder, 'dress.pt')
  const names = async (content: Pickled): Promise<string[]> => [
    ...(await readTorch(zipFile(path, pickle(content), { '0': values }))).tensors.keys(),
  ]
  const x = tensor(six)
  t.same(await names(dict(['a.w', x])), ['a.w'])
  t.same(await names(dict(['model', dict(['a.w', x])], ['epoch', 3])), ['a.w'])
  t.same(await names(dict(['state_dict', dict(['a.w', x])])), ['a.w'])
  t.same(await names(dict(['module.a.w', x], ['module.b', x])), ['a.w', 'b'])
  t.same(await names(dict(['module._orig_mod.a.w', x])), ['a.w'])
  t.same(await names(dict(['module.a', x], ['b', x])), ['module.a', 'b'], 'a prefix of only some stays')
  await t.rejects(names(dict(['epoch', 3])), { code: 'ERR_WEIGHTS', message: /epoch \(a number\)/ })
  await t.rejects(names(dict(['model', dict(['a', x], ['b', 'text'])])), {
    code: 'ERR_WEIGHTS',
    message: /b \(a str\)/,
  })
  await t.rejects(names([x]), { code: 'ERR_WEIGHTS', message: /found a list or tuple/ })
  await t.rejects(names(x), { code: 'ERR_WEIGHTS', message: /found a TorchTensor/ })
})

t.test('train_conf comes as plain data, numpy scalars as words, and may not hold itself', async t => {
  const folder = t.testdir()
  const scalar = new Call(
    new Name('numpy.core.multiarray', 'scalar'),
    new Tuple(new Call(new Name('numpy', 'dtype'), new Tuple('f8', false, true)), 'bytes'),
  )
  const conf = dict(['lr', 0.5], ['steps', [1, null, true]], ['seen', scalar], ['range', new Tuple(1, 2 ** 40)])
  const path = zipFile(
    join(folder, 'conf.pt'),
    pickle(dict(['model', dict(['w', tensor(six)])], ['train_conf', conf])),
    { '0': values },
  )
  t.same((await readTorch(path)).trainConf, {
    lr: 0.5,
    steps: [1, null, true],
    seen: '<numpy.core.multiarray.scalar>',
    range: [1, 2 ** 40],
  })
  // {"model": {...}, "train_conf": d} with d = {"me": d}
  const weights = pickle(dict(['w', tensor(six)])).subarray(2, -1)
  const cyclic = rawPickle('}(X\x05\0\0\0model', weights, 'X\x0a\0\0\0train_conf', '}q\x07X\x02\0\0\0meh\x07su.')
  await refused(t, zipFile(join(folder, 'cyclic.pt'), cyclic, { '0': values }), /nested too deep, or holds itself/)
})

t.test('a pickle that asks for more than data is refused by name', async t => {
  const folder = t.testdir()
  const path = join(folder, 'evil.pt')
  const asks = async (data: Buffer, message: RegExp): Promise<void> => {
    await refused(t, zipFile(path, data, { '0': values }), message)
    await refused(t, legacyFile(path, data, { '0': { count: 6, bytes: values } }), message)
  }
  await asks(rawPickle('cos\nsystem\n', 'X\x04\0\0\0true', '\x85R.'), /asks for os\.system/)
  await asks(rawPickle('X\x02\0\0\0os', 'X\x06\0\0\0system', '\x93.'), /asks for os\.system/)
  await asks(rawPickle('cbuiltins\neval\n', '.'), /asks for builtins\.eval/)
  await asks(rawPickle('cmonai.networks.nets.segresnet\nSegResNet\n', ')\x81}b.'), /segresnet\.SegResNet.*state_dict/)
  await asks(rawPickle('c__torch__.nets\nNet\n', ')\x81.'), /TorchScript class/)
  await asks(rawPickle('ctorch._utils\n__class__\n', '.'), /asks for torch\._utils\.__class__/)
  await asks(rawPickle('ctorch\nComplexFloatStorage\n', '.'), /torch\.ComplexFloatStorage, a kind of tensor/)
  await asks(rawPickle('ctorch._utils\n_rebuild_sparse_tensor\n', '.'), /a kind of tensor .* \.to_dense\(\)/)
  await asks(rawPickle('c\nconstructor\n', '.'), /asks for \.constructor/)
  await asks(rawPickle('ctorch\nFloatStorage\n', ')R.'), /is not called/)
  await asks(rawPickle('i', 'os\nsystem\n', '.'), /the opcode 0x69/)
})

t.test('pickles that are no pickles are refused', async t => {
  const path = join(t.testdir(), 'odd.pt')
  const odd = (message: RegExp, ...parts: (string | number | Buffer)[]): Promise<unknown> =>
    refused(t, zipFile(path, rawPickle(...parts), { '0': values }), message)
  await odd(/expected 1 more bytes/, 'N')
  await odd(/expected one value at the end, found 0/, '.')
  await odd(/expected one value at the end, found 2/, 'NN.')
  await odd(/found None|expected a list/, 'NNa.')
  await odd(/expected a mark/, 'Nt.')
  await odd(/remembered as 7, found none/, 'h\x07.')
  await odd(/expected a dict to fill/, 'NNNs.')
  await odd(/expected a name to call/, 'N)R.')
  await odd(/expected the id of a storage/, 'NQ.')
  await odd(/more bytes at byte/, 'X\xff\xff\xff\x7f')
  await odd(/more bytes at byte/, '\x8d', Buffer.from('ffffffffffffffff', 'hex'))
  await odd(/an integer of 17 bytes/, '\x8a\x11', Buffer.alloc(17), '.')
  await odd(/an integer of 1048576 bytes/, '\x8b', Buffer.from('00001000', 'hex'), Buffer.alloc(1 << 20))
  await odd(/more than 300000 lists/, '(', ']'.repeat(600_000), 't.')
  await odd(/more than 1000000 opcodes/, '(', 'N'.repeat(6_000_000), 't.')
  await odd(/expected a name that ends/, 'c', 'x'.repeat(5000))
  await odd(/expected pickle protocol/, '\x80\x09N.')
})

t.test('a tensor reaches no further than its storage, a storage no further than the file', async t => {
  const folder = t.testdir()
  const path = join(folder, 'reach.pt')
  const written = (view: View, held: Uint8Array = values): string =>
    zipFile(path, pickle(dict(['w', tensor(view)])), { '0': held })
  await refused(t, written({ ...six, offset: 1 }), /reaches value 6, outside of the 6 values/)
  await refused(t, written({ ...six, strides: [300, 1] }), /reaches value 302/)
  await refused(t, written({ ...six, strides: [-3, 1] }), /none negative/)
  await refused(t, written({ ...six, shape: [2, 3, 4] }), /as many strides as extents/)
  await refused(t, written({ ...six, shape: [2.5, 3] }), /none negative/)
  await refused(t, written(six, values.subarray(0, 20)), /storage 0 should have 24 bytes, found 20/)
  await refused(
    t,
    written({ ...six, count: 2 ** 50, shape: [2 ** 50], strides: [1] }),
    /should have .* bytes, found 24/,
  )
  await refused(t, written({ ...six, key: 'other' }), /storage other should have 24 bytes, found no such entry/)
  await refused(t, written({ ...six, type: 'QInt8Storage' }), /asks for torch\.QInt8Storage/)
  await refused(t, written({ count: 6, shape: [2 ** 40], strides: [0] }), /claim more than .* bytes of values/)
  const many = dict(
    ...Array.from({ length: 900 }, (_, i): [Pickled, Pickled] => [
      `w${i}`,
      tensor({ count: 6, shape: [5000], strides: [0] }),
    ]),
  )
  await refused(t, zipFile(path, pickle(many), { '0': values }), /claim more than/)
  const legacy = pickle(dict(['w', tensor(six)]))
  await refused(t, legacyFile(path, legacy, { '0': { count: 5, bytes: values } }), /should have 24 bytes, found 20/)
  await refused(t, legacyFile(path, legacy, { '0': { count: 2 ** 52, bytes: values } }), /should have 24 bytes/)
  await refused(t, legacyFile(path, legacy, { '1': { count: 6, bytes: values } }), /storage 1 belongs to no tensor/)
  await refused(t, legacyFile(path, legacy), /storage 0 is not in the file/)
})

t.test('archives that are no checkpoints say what they are', async t => {
  const folder = t.testdir()
  const path = join(folder, 'archive.pt')
  const whole = pickle(dict(['w', tensor(six)]))
  const code = [{ name: 'archive/code/__torch__.py', bytes: Buffer.from('class') }]
  await refused(t, zipFile(path, whole, { '0': values }, code), /TorchScript archive/)
  await refused(
    t,
    zipFile(path, whole, { '0': values }, [{ name: 'archive/constants.pkl', bytes: Buffer.of(0x80) }]),
    /TorchScript/,
  )
  for (const [content, message] of [
    ['', /an empty file/],
    ['hello, this is text', /the bytes 68656c6c6f2c2074/],
    ['\x1f\x8b\x08rest', /gzip/],
    ['\x80\x04N.', /a pickle that torch\.save did not write/],
    [`${'storages'.padEnd(257, '\0')}ustar`, /tar archive/],
    ['\x89HDF\r\n\x1a\n', /HDF5/],
  ] as const) {
    writeFileSync(path, content, 'latin1')
    await refused(t, path, message)
  }
  await refused(t, join(folder, 'none.pt'), /there is no such file/)
  await refused(t, folder, /a folder/)
})

t.test('a zip bomb is refused before it is inflated', async t => {
  const path = join(t.testdir(), 'bomb.pt')
  const bomb = deflateRawSync(Buffer.alloc(1 << 20))
  const archive = readFileSync(zipFile(path, Buffer.from(bomb), { '0': values }))
  // The same entry, now said to be deflated: both headers name method 8 and a gibibyte.
  for (const [signature, method, size] of [
    ['PK\x03\x04', 8, 22],
    ['PK\x01\x02', 10, 24],
  ] as const) {
    const at = archive.indexOf(Buffer.from(signature, 'latin1'))
    archive.writeUInt16LE(8, at + method)
    archive.writeUInt32LE(1 << 30, at + size)
  }
  writeFileSync(path, archive)
  await refused(t, path, /is compressed \(method 8\).*1073741824 bytes/)
})

t.test('a file that is cut or changed anywhere is read the same or refused, never anything else', async t => {
  const folder = t.testdir()
  const content = pickle(
    dict(
      ['model', dict(['a', tensor(six)], ['b', tensor({ count: 6, offset: 2, shape: [2, 2], strides: [1, 2] })])],
      ['epoch', 3],
    ),
  )
  const files = {
    zip: readFileSync(zipFile(join(folder, 'whole.pt'), content, { '0': values })),
    legacy: readFileSync(legacyFile(join(folder, 'old.pt'), content, { '0': { count: 6, bytes: values } })),
  }
  const path = join(folder, 'changed.pt')
  const draws = rng(3, 0, 0, 'fuzz')
  for (const [name, whole] of Object.entries(files)) {
    let [same, refusals] = [0, 0]
    const attempt = async (bytes: Buffer, what: string): Promise<void> => {
      writeFileSync(path, bytes)
      try {
        const { tensors } = await readTorch(path)
        same++
        t.ok(tensors.size > 0, what)
      } catch (error) {
        refusals++
        if ((error as { code?: string }).code !== 'ERR_WEIGHTS') t.fail(`${what}: ${String(error)}`)
      }
    }
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length))
      await t.rejects(readTorch(path), { code: 'ERR_WEIGHTS' }, `${name}: the first ${length} bytes`)
    }
    for (let i = 0; i < 600; i++) {
      const bytes = Buffer.from(whole)
      for (let changes = 1 + draws.integer(3); changes > 0; changes--)
        bytes[draws.integer(bytes.length)] = draws.integer(256)
      await attempt(bytes, `${name}: change ${i}`)
    }
    t.comment(`${name}: ${refusals} changes refused, ${same} read`)
    t.ok(refusals > 100)
  }
  const bytes = Buffer.from(files.zip)
  bytes[bytes.indexOf(Buffer.from(values))]! ^= 1
  writeFileSync(path, bytes)
  await refused(t, path, /checksum of "archive\/data\/0"/)
})
