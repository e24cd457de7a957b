import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readCheckpoint } from '../../model/checkpoint.ts'
import { readSafetensors, writeSafetensors } from '../../model/safetensors.ts'
import type { Tensors } from '../../pipeline/engine.ts'

const tensors: Tensors = new Map([
  ['a.weight', { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, 65504) }],
  ['step', { shape: [], data: Float32Array.of(7) }],
  ['empty', { shape: [0, 4], data: new Float32Array(0) }],
])

/** A file of this header and these values. */
function encode(header: unknown, values: Buffer | number, length?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(length ?? BigInt(text.length))
  return Buffer.concat([size, text, typeof values === 'number' ? Buffer.alloc(values) : values])
}

/** A header's entry of float32 values, by default a vector. */
function f32(begin: number, end: number, shape: unknown = [(end - begin) / 4]): unknown {
  return { dtype: 'F32', shape, data_offsets: [begin, end] }
}

t.test('what is written comes back, with its metadata and no file left beside it', async t => {
  const folder = t.testdir({})
  const path = join(folder, 'weights.safetensors')
  await writeSafetensors(path, tensors, { format: 'pt' })
  const { tensors: found, metadata } = await readSafetensors(path)
  t.same(metadata, { format: 'pt' })
  t.same([...found], [...tensors])
  t.same(await readdir(folder), ['weights.safetensors'])
  const bytes = await readFile(path)
  t.equal(bytes.readBigUInt64LE() % 8n, 0n, 'values are aligned')
})

t.test('an array that is a part of a larger buffer is written as that part', async t => {
  const path = join(t.testdir({}), 'weights.safetensors')
  const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3)
  await writeSafetensors(path, new Map([['w', { shape: [2], data }]]))
  t.same([...(await readSafetensors(path)).tensors.get('w')!.data], [1, 2])
})

t.test('a folder that is not there is ERR_OUTPUT', async t => {
  await t.rejects(writeSafetensors(join(t.testdir({}), 'no', 'weights.safetensors'), tensors), { code: 'ERR_OUTPUT' })
})

t.test('half, bfloat16, double and 64-bit integers become float32', async t => {
  const path = join(t.testdir({}), 'w.safetensors')
  const half = Buffer.from(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00, 0x7e00).buffer)
  const brain = Buffer.from(Uint16Array.of(0x3f80, 0xc040, 0x0000, 0x7f80).buffer)
  const double = Buffer.from(Float64Array.of(0.1, -1e300).buffer)
  const integer = Buffer.from(BigInt64Array.of(-5n, 1n << 40n).buffer)
  let at = 0
  const entry = (dtype: string, shape: number[], bytes: Buffer): unknown => {
    return { dtype, shape, data_offsets: [at, (at += bytes.length)] }
  }
  const header = {
    half: entry('F16', [5], half),
    brain: entry('BF16', [2, 2], brain),
    double: entry('F64', [2], double),
    integer: entry('I64', [2], integer),
  }
  await writeFile(path, encode(header, Buffer.concat([half, brain, double, integer])))
  const { tensors: found, rounded } = await readSafetensors(path)
  t.same(rounded, ['double', 'integer'])
  t.match((await readCheckpoint(path)).notes, ['safetensors, 4 tensors', 'rounded to float32: double, integer'])
  const values = (name: string): number[] => [...found.get(name)!.data]
  t.same(values('half'), [1, -2, 2 ** -24, Infinity, NaN])
  t.same(values('brain'), [1, -3, 0, Infinity])
  t.same(values('double'), [Math.fround(0.1), -Infinity])
  t.same(values('integer'), [-5, 2 ** 40])
})

t.test('a damaged file is refused with what is wrong', async t => {
  const cases: Readonly<Record<string, [Buffer, RegExp]>> = {
    empty: [Buffer.alloc(0), /at least 8 bytes, found 0/],
    'a header longer than the file': [encode('{}', 0, 1n << 60n), /header length of 1152921504606846976/],
    'no JSON': [encode('{"a": ', 0), /JSON header/],
    'no UTF-8': [Buffer.concat([encode('', 0, 2n), Buffer.from([0xff, 0xfe])]), /JSON header/],
    'a list': [encode([], 0), /object of tensors/],
    'an entry that is no object': [encode({ a: 3 }, 0), /"a": expected an object/],
    'an unknown type': [encode({ a: { dtype: 'Q4', shape: [1], data_offsets: [0, 1] } }, 1), /found "Q4"/],
    'a type named as a method': [
      encode({ a: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } }, 4),
      /found "toString"/,
    ],
    'a negative extent': [encode({ a: f32(0, 4, [-1]) }, 4), /list of extents/],
    'a fractional extent': [encode({ a: f32(0, 4, [1.5]) }, 4), /list of extents/],
    'offsets beyond the file': [encode({ a: f32(0, 4_000_000_000) }, 4), /offsets within 4 bytes/],
    'offsets backwards': [encode({ a: f32(4, 0, [1]) }, 4), /offsets within/],
    'a shape that does not fill its bytes': [encode({ a: f32(0, 8, [3]) }, 8), /takes 12 bytes, found 8/],
    'an enormous shape': [encode({ a: f32(0, 8, [2 ** 50, 2 ** 50]) }, 8), /takes .* found 8/],
    overlap: [encode({ a: f32(0, 8), b: f32(4, 12) }, 12), /"b" begins at byte 4, inside/],
    'a gap': [encode({ a: f32(0, 4), b: f32(8, 12) }, 12), /bytes 4 to 8 belong to no tensor/],
    'a tail': [encode({ a: f32(0, 4) }, 12), /expected 4 bytes of values, found 12/],
    'metadata that is no text': [encode({ __metadata__: { a: 1 } }, 0), /__metadata__/],
  }
  for (const [name, [bytes, message]] of Object.entries(cases)) {
    const path = join(t.testdir({}), 'w.safetensors')
    await writeFile(path, bytes)
    await t.rejects(readSafetensors(path), { code: 'ERR_WEIGHTS', message }, name)
  }
  const path = join(t.testdir({}), 'w.safetensors')
  await writeSafetensors(path, tensors)
  const whole = await readFile(path)
  for (let length = 0; length < whole.length; length += 7) {
    await writeFile(path, whole.subarray(0, length))
    await t.rejects(readSafetensors(path), { code: 'ERR_WEIGHTS' }, `cut after ${length} bytes`)
  }
  await t.rejects(readSafetensors(join(path, 'not there')), { code: 'ERR_WEIGHTS' })
})
