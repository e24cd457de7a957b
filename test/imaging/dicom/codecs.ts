import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import createDecoder from '@cornerstonejs/codec-charls/decodewasmjs'
import createJpegLs from '@cornerstonejs/codec-charls/wasmjs'
import createJpeg2000 from '@cornerstonejs/codec-openjpeg/wasmjs'
import type { CodecOptions } from '@cornerstonejs/codec-openjpeg/decodewasmjs'
import createJpeg from '@cornerstonejs/codec-libjpeg-turbo-8bit/wasmjs'
import t from 'tap'
import { decodeFrame, Library, type FrameShape } from '../../../imaging/dicom/codecs.ts'
import type { Codec } from '../../../imaging/dicom/syntax.ts'
import { fragmentsOf } from '../../../imaging/dicom/pixels.ts'
import { readHeader } from '../../../imaging/dicom/header.ts'
import { openScan } from '../../../imaging/scan-file.ts'
import { materialise } from '../../../imaging/volume.ts'
import { shorts, sliceFile, writeSeries, type Elements } from '../../support/dicom.ts'
import { projectRoot } from '../../support/shared.ts'

const rows = 40
const columns = 56
/** The libraries make themselves out of what they are given. */
const silent = (): CodecOptions => ({ print: () => {}, printErr: () => {} })

/** A slope with some noise, from -1024 to about 2000. */
const values = Array.from({ length: rows * columns }, (_, i) => -1024 + Math.floor(1.2 * i) + ((i * 7919) % 61))
const bitsOf = (allocated: 8 | 16, stored: number, isSigned: boolean): FrameShape['bits'] => ({
  allocated,
  stored,
  highBit: stored - 1,
  isSigned,
})

/** Frames by the libraries' own encoders. */
async function jpegLs(pixels: Uint8Array, bitsPerSample: number): Promise<Uint8Array> {
  const encoder = new (await createJpegLs(silent())).JpegLSEncoder()
  encoder
    .getDecodedBuffer({ width: columns, height: rows, bitsPerSample, componentCount: 1, isSigned: false })
    .set(pixels)
  encoder.setNearLossless!(0)
  encoder.encode()
  return Uint8Array.from(encoder.getEncodedBuffer())
}

async function jpeg2000(pixels: Uint8Array, bitsPerSample: number, isSigned: boolean): Promise<Uint8Array> {
  const encoder = new (await createJpeg2000(silent())).J2KEncoder()
  encoder.getDecodedBuffer({ width: columns, height: rows, bitsPerSample, componentCount: 1, isSigned }).set(pixels)
  encoder.setQuality!(true, 0)
  encoder.encode()
  return Uint8Array.from(encoder.getEncodedBuffer())
}

async function jpeg(pixels: Uint8Array): Promise<Uint8Array> {
  const encoder = new (await createJpeg(silent())).JPEGEncoder()
  encoder
    .getDecodedBuffer({ width: columns, height: rows, bitsPerSample: 8, componentCount: 1, isSigned: false })
    .set(pixels)
  encoder.setQuality!(100)
  encoder.encode()
  return Uint8Array.from(encoder.getEncodedBuffer())
}

/** PackBits, of runs and of pieces without any; bytes from the highest to the lowest. */
function rle(pixels: Uint8Array, bytesPerVoxel: number): Uint8Array {
  const segments = Array.from({ length: bytesPerVoxel }, (_, s) => {
    const bytes = pixels.filter((_, i) => i % bytesPerVoxel === bytesPerVoxel - 1 - s)
    const packed: number[] = []
    for (let i = 0; i < bytes.length;) {
      let run = 1
      while (run < 128 && bytes[i + run] === bytes[i]) run++
      if (run > 2) packed.push(257 - run, bytes[i]!)
      else packed.push((run = Math.min(5, bytes.length - i)) - 1, ...bytes.subarray(i, i + run))
      i += run
    }
    if (packed.length % 2 === 1) packed.push(128)
    return packed
  })
  const head = Buffer.alloc(64)
  head.writeUInt32LE(bytesPerVoxel, 0)
  segments.reduce((offset, segment, i) => (head.writeUInt32LE(offset, 4 + 4 * i), offset + segment.length), 64)
  return Buffer.concat([head, Buffer.from(segments.flat())])
}

const twelve = values.map(value => (value + 1024) & 0xfff)
const frames = async (): Promise<
  [name: string, codec: Codec, syntax: string, frame: Uint8Array, bits: FrameShape['bits'], expected: number[]][]
> => [
  [
    'JPEG 2000, signed',
    'jpeg-2000',
    '1.2.840.10008.1.2.4.90',
    await jpeg2000(shorts(values), 16, true),
    bitsOf(16, 16, true),
    values,
  ],
  [
    'JPEG 2000, 12 bits',
    'jpeg-2000',
    '1.2.840.10008.1.2.4.90',
    await jpeg2000(shorts(twelve), 12, false),
    bitsOf(16, 12, false),
    twelve,
  ],
  [
    'JPEG-LS, signed',
    'jpeg-ls',
    '1.2.840.10008.1.2.4.80',
    await jpegLs(shorts(values), 16),
    bitsOf(16, 16, true),
    values,
  ],
  [
    'JPEG-LS, 12 bits, signed',
    'jpeg-ls',
    '1.2.840.10008.1.2.4.80',
    await jpegLs(shorts(values.map(v => v & 0xfff)), 12),
    bitsOf(16, 12, true),
    values.map(v => (v << 20) >> 20),
  ],
  ['RLE', 'rle', '1.2.840.10008.1.2.5', rle(shorts(values), 2), bitsOf(16, 16, true), values],
]

t.test('lossless frames give the voxels that went in, alone and in two fragments', async t => {
  const dir = t.testdir()
  for (const [name, , syntax, frame, bits, expected] of await frames()) {
    const elements: Elements = {
      0x00280100: ['US', bits.allocated],
      0x00280101: ['US', bits.stored],
      0x00280102: ['US', bits.highBit],
      0x00280103: ['US', bits.isSigned ? 1 : 0],
    }
    const middle = (frame.length >> 2) * 2
    const parts = [[frame], [frame.subarray(0, middle), frame.subarray(middle)]]
    const folder = writeSeries(join(dir, name), 2, k => ({ syntax, rows, columns, elements, fragments: parts[k]! }))
    const scan = await openScan(folder)
    t.ok(scan.isCompressed)
    t.equal(scan.volume.region, undefined)
    t.same([...(await materialise(scan.volume))], [...expected, ...expected], name)
  }
})

t.test('JPEG is not exact, and near', async t => {
  const pixels = Uint8Array.from(values, value => (value + 1024) >> 5)
  const decoded = await decodeFrame('jpeg', await jpeg(pixels), { rows, columns, bits: bitsOf(8, 8, false) })
  t.ok(decoded.every((value, i) => Math.abs(value - pixels[i]!) <= 3))
})

t.test('a damaged frame is an error, and the next one is decoded', async t => {
  const all = [
    ...(await frames()),
    [
      'JPEG',
      'jpeg',
      '',
      await jpeg(Uint8Array.from(values, value => (value + 1024) >> 5)),
      bitsOf(8, 8, false),
      [],
    ] as const,
  ]
  for (const [name, codec, , frame, bits] of all) {
    const shape = { rows, columns, bits }
    const whole = await decodeFrame(codec, frame, shape)
    for (const part of [0, 1, 30, frame.length >> 1, frame.length - Math.ceil(frame.length / 10)])
      await t.rejects(
        decodeFrame(codec, frame.subarray(0, part), shape),
        Error,
        `${name}: ${part} of ${frame.length} bytes`,
      )
    t.ok(Buffer.from(await decodeFrame(codec, frame, shape)).equals(whole), name)
    await t.rejects(decodeFrame(codec, frame, { ...shape, rows: rows + 1 }), Error, `${name}: other extents`)
  }
})

t.test('a library that could not be made once is made when it is needed again', async t => {
  let made = 0
  const create: typeof createDecoder = options =>
    ++made === 1 ? Promise.reject(new Error('no memory')) : createDecoder(options)
  const library = new Library(create, 'JpegLSDecoder')
  const pixels = Uint8Array.from({ length: rows * columns }, (_, i) => i % 251)
  const frame = await jpegLs(pixels, 8)
  await t.rejects(library.decode(frame), /no memory/)
  t.same(await library.decode(frame), pixels)
  t.same(await library.decode(frame), pixels)
  t.equal(made, 2)
})

t.test('a damaged frame names its file', async t => {
  const frame = await jpegLs(shorts(values), 16)
  const folder = writeSeries(join(t.testdir(), 'ct'), 3, k => ({
    syntax: '1.2.840.10008.1.2.4.80',
    rows,
    columns,
    fragments: [k === 1 ? frame.subarray(0, 400) : frame],
  }))
  const { volume } = await openScan(folder)
  await t.rejects(materialise(volume), {
    code: 'ERR_FILE',
    message: /IM1\.dcm: expected a frame of JPEG-LS Lossless, found it damaged/,
  })
})

t.test('fragments that are cut off or none at all', async t => {
  const whole = sliceFile({
    syntax: '1.2.840.10008.1.2.5',
    fragments: [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6)],
  })
  const at = whole.length - (4 * 8 + 6)
  t.same([...fragmentsOf(whole.subarray(at))], [1, 2, 3, 4, 5, 6])
  for (let end = at; end < whole.length; end++)
    t.throws(() => fragmentsOf(whole.subarray(at, end)), /end in the middle/)
  const none = sliceFile({ syntax: '1.2.840.10008.1.2.5', fragments: [] })
  t.throws(() => fragmentsOf(none.subarray(none.length - 16)), /no fragment/)
})

t.test('every predictor of lossless JPEG gives the same image', async t => {
  const folder = join(projectRoot, 'node_modules', 'jpeg-lossless-decoder-js', 'tests', 'data')
  const decoded: Uint8Array[] = []
  for (const predictor of [1, 2, 3, 4, 5, 6, 7]) {
    const path = join(folder, `jpeg_lossless_sel${predictor}.dcm`)
    const { dataSet } = await readHeader(path)
    const number = (tag: string): number => dataSet.uint16(tag)!
    const [allocated, stored, highBit] = ['x00280100', 'x00280101', 'x00280102'].map(number) as [8 | 16, number, number]
    const shape = {
      rows: number('x00280010'),
      columns: number('x00280011'),
      bits: { allocated, stored, highBit, isSigned: number('x00280103') === 1 },
    }
    const frame = fragmentsOf(readFileSync(path).subarray(dataSet.elements['x7fe00010']!.dataOffset))
    decoded.push(await decodeFrame('jpeg-lossless', frame, shape))
    t.ok(Buffer.from(decoded.at(-1)!).equals(decoded[0]!), `predictor ${predictor}`)
    for (const part of [0, 2, 40, frame.length >> 1])
      await t.rejects(decodeFrame('jpeg-lossless', frame.subarray(0, part), shape), Error)
  }
})
