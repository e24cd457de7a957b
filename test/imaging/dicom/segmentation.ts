import { join } from 'node:path'
import dicomParser from 'dicom-parser'
import t from 'tap'
import { lesionSegment, segmentationPieces, type SegmentationOptions } from '../../../imaging/dicom/segmentation.ts'
import type { DicomSeries } from '../../../imaging/dicom/series-facts.ts'
import { decimal, uidOf } from '../../../imaging/dicom/write.ts'
import { maskOf } from '../../../imaging/mask.ts'
import { openScan } from '../../../imaging/scan-file.ts'
import type { Shape3 } from '../../../pipeline/grid.ts'
import { writeSeries, type SliceFile } from '../../support/dicom.ts'

const options: SegmentationOptions = {
  segments: [lesionSegment(1), lesionSegment(3, 'Fibrose \\ é')],
  algorithm: 'SegResNet',
  model: 'ab'.repeat(32),
  version: '1.2.3',
}
const shape: Shape3 = [7, 5, 4]
const plane = 35

async function seriesOf(folder: string, slice: (k: number) => SliceFile = () => ({})): Promise<DicomSeries> {
  const path = writeSeries(join(folder, 'ct'), 4, k => ({ rows: 5, columns: 7, ...slice(k) }))
  return (await openScan(path)).volume.series!
}

/** Class 1 in planes 1 and 2, class 3 in plane 2, class 2, which is no segment, in plane 3. */
const voxels = new Uint8Array(4 * plane)
for (const i of [plane, plane + 6, plane + 7, 2 * plane - 1, 2 * plane, 2 * plane + 34]) voxels[i] = 1
voxels.fill(3, 2 * plane + 10, 2 * plane + 31)
voxels.fill(2, 3 * plane, 4 * plane)

/** The bits of a class in a plane. */
const expected = (value: number, z: number): number[] =>
  [...voxels.subarray(z * plane, (z + 1) * plane)].map(voxel => (voxel === value ? 1 : 0))

function written(series: DicomSeries, mask = voxels, changed: Partial<SegmentationOptions> = {}): Buffer {
  return Buffer.concat([...segmentationPieces(series, maskOf(shape, mask), { ...options, ...changed })])
}

t.test('another reader finds the voxels, their places and their sources', async t => {
  const dataSet = dicomParser.parseDicom(written(await seriesOf(t.testdir())))
  const pixels = dataSet.elements['x7fe00010']!
  const bytes = dataSet.byteArray.subarray(pixels.dataOffset, pixels.dataOffset + pixels.length)
  t.equal(dataSet.string('x00280008'), '3')
  t.equal(pixels.length, 14, '105 bits, filled up to an even number of bytes')
  const bit = (i: number): number => (bytes[i >> 3]! >> (i & 7)) & 1
  const frames = [0, 1, 2].map(f => Array.from({ length: plane }, (_, i) => bit(f * plane + i)))
  t.same(frames, [expected(1, 1), expected(1, 2), expected(3, 2)])
  const groups = dataSet.elements['x52009230']!.items!.map(({ dataSet: group }) => {
    const within = (...tags: string[]): dicomParser.DataSet =>
      tags.reduce((set, tag) => set.elements[tag]!.items![0]!.dataSet!, group!)
    return [
      within('x00209113').string('x00200032'),
      within('x00089124', 'x00082112').string('x00081155'),
      within('x0062000a').uint16('x0062000b'),
      within('x00209111').uint32('x00209157', 0),
      within('x00209111').uint32('x00209157', 1),
    ]
  })
  t.same(groups, [
    ['-10\\-20\\32', '1.2.3.4.1', 1, 1, 1],
    ['-10\\-20\\34', '1.2.3.4.2', 1, 1, 2],
    ['-10\\-20\\34', '1.2.3.4.2', 2, 2, 2],
  ])
  t.equal(dataSet.string('x00100010'), 'Phantom^One')
  t.equal(dataSet.string('x0020000d'), '1.2.3')
  t.equal(dataSet.string('x00080023'), '20200131', "the date is the series'")
  const segments = dataSet.elements['x00620002']!.items!.map(({ dataSet: segment }) => segment!.string('x00620005'))
  t.same(segments, ['Lesion', 'Fibrose ? ?'])
})

t.test('the same mask gives the same bytes; anything else another name', async t => {
  const series = await seriesOf(t.testdir())
  const one = written(series)
  t.ok(one.equals(written(structuredClone(series))))
  const other = voxels.slice()
  other[plane] = 0
  const uids = [
    one,
    written(series, other),
    written(series, voxels, { model: 'cd'.repeat(32) }),
    written(series, voxels, { segments: [lesionSegment(1)] }),
  ].map(bytes => dicomParser.parseDicom(bytes).string('x00080018')!)
  t.equal(new Set(uids).size, 4)
  for (const uid of uids) t.match(uid, /^2\.25\.[1-9]\d{30,38}$/)
})

t.test('an empty mask has one frame, which is empty', async t => {
  const dataSet = dicomParser.parseDicom(written(await seriesOf(t.testdir()), new Uint8Array(4 * plane)))
  const pixels = dataSet.elements['x7fe00010']!
  t.equal(dataSet.string('x00280008'), '1')
  t.ok(dataSet.byteArray.subarray(pixels.dataOffset, pixels.dataOffset + pixels.length).every(byte => byte === 0))
})

t.test('a mask of other extents, and a series without names, are refused', async t => {
  const folder = t.testdir()
  const series = await seriesOf(folder)
  const small = maskOf([7, 5, 3], new Uint8Array(105))
  t.throws(() => [...segmentationPieces(series, small, options)], {
    code: 'ERR_GEOMETRY',
    message: /7 x 5 x 4.*7 x 5 x 3/,
  })
  const twice = await seriesOf(join(folder, 'twice'), () => ({ uid: '1.2' }))
  t.throws(() => written(twice), { code: 'ERR_VOLUME', message: /1 different ones for 4 slices/ })
  const nowhere = await seriesOf(join(folder, 'nowhere'), () => ({ elements: { 0x00200052: undefined } }))
  t.throws(() => written(nowhere), { code: 'ERR_VOLUME', message: /no FrameOfReferenceUID/ })
})

t.test('a series without dates gets some', async t => {
  const series = await seriesOf(t.testdir(), () => ({ elements: { 0x00080020: undefined } }))
  t.equal(dicomParser.parseDicom(written(series)).string('x00080023'), '19000101')
})

t.test('decimal strings have at most 16 characters', async t => {
  t.equal(decimal(0.1 + 0.2), '0.3')
  t.equal(decimal(2.5), '2.5')
  for (const value of [-1 / 3, 1e-9 / 3, 12345.12345678912, 1e20 / 3]) {
    t.ok(decimal(value).length <= 16, decimal(value))
    t.ok(Math.abs(Number(decimal(value)) / value - 1) < 1e-8)
  }
  t.not(uidOf('ab', 'c'), uidOf('a', 'bc'))
})
