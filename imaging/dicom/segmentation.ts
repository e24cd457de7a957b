/**
 * Masks as DICOM Segmentation objects (PS3.3 A.51): binary, a frame for each slice of a segment that is not empty, each
 * with its place and the slice that it was made of.
 */

import { createHash } from 'node:crypto'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Mask } from '../../pipeline/flow.ts'
import type { DicomSeries } from './series-facts.ts'
import { decimal, elementHead, encodeDataSet, fileHead, uidOf, type DataSet, type Element } from './write.ts'

/** A coded concept, such as SCT 52988006 "Lesion". */
export interface Code {
  readonly scheme: string
  readonly value: string
  readonly meaning: string
}

/** What one class of a mask is. */
export interface Segment {
  /** In the mask. */
  readonly value: number
  /** 64 characters of ASCII are kept. */
  readonly label: string
  readonly category: Code
  readonly type: Code
}

export interface SegmentationOptions {
  /** At least one; what the mask holds beside them is left out. */
  readonly segments: readonly Segment[]
  /** The network, for people; as labels. */
  readonly algorithm: string
  /** SHA-256 of its weights: another network's segmentation is another object. */
  readonly model?: string
  /** Of ctflow. */
  readonly version: string
}

/** A segment that is a lesion. */
export function lesionSegment(value: number, label = 'Lesion'): Segment {
  return {
    value,
    label,
    category: { scheme: 'SCT', value: '49755003', meaning: 'Morphologically Abnormal Structure' },
    type: { scheme: 'SCT', value: '52988006', meaning: 'Lesion' },
  }
}

const segmentationStorage = '1.2.840.10008.5.1.4.1.1.66.4'

interface Frame {
  /** Index into the segments. */
  readonly segment: number
  readonly z: number
}

/**
 * The file in pieces, for whoever writes it; good until the next is asked for. The mask lies on the series' grid as
 * `openSeries` gives it. The same series, mask and options give the same bytes: UIDs are hashes, dates are the series' own.
 * An empty mask has one frame, which is empty: the object must have one. ERR_GEOMETRY: the mask has other extents;
 * ERR_VOLUME: the series lacks UIDs that the object must name.
 */
export function* segmentationPieces(
  series: DicomSeries,
  mask: Mask,
  options: SegmentationOptions,
): Generator<Uint8Array> {
  expectFitting(series, mask, options)
  const frames = framesOf(mask, options.segments)
  const instanceUid = instanceUidOf(series, mask, options)
  yield fileHead(segmentationStorage, instanceUid, options.version)
  yield encodeDataSet(dataSetOf(series, frames, options, instanceUid))
  const plane = series.rows * series.columns
  const bytes = Math.ceil((frames.length * plane) / 8)
  yield elementHead(0x7fe00010, 'OB', bytes + (bytes % 2))
  yield* packed(mask, frames, options.segments)
  if (bytes % 2 === 1) yield new Uint8Array(1)
}

function expectFitting(series: DicomSeries, { shape }: Mask, { segments }: SegmentationOptions): void {
  const { path, rows, columns, instances } = series
  if (segments.length === 0) throw new Error('expected a segment, found none')
  const expected = [columns, rows, instances.length]
  if (shape.some((n, axis) => n !== expected[axis])) {
    throw new PipelineError(
      'ERR_GEOMETRY',
      `${path}: expected a mask of ${expected.join(' x ')} voxels, as its series, found ${shape.join(' x ')}`,
      { path, expected, found: shape },
    )
  }
  const uids = new Set(instances.map(({ instanceUid }) => instanceUid))
  const isNamed = uids.size === instances.length && !uids.has('')
  if (!isNamed || series.seriesUid === '' || series.frameOfReferenceUid === '' || studyUidOf(series) === '') {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected UIDs of study, series, frame of reference and of each slice, which a segmentation must name, found ${uids.size} different ones for ${instances.length} slices${series.frameOfReferenceUid === '' ? ' and no FrameOfReferenceUID' : ''}; write NIfTI masks instead`,
      { path },
    )
  }
}

function studyUidOf({ attributes }: DicomSeries): string {
  const found = attributes.find(({ tag }) => tag === 0x0020000d)
  return found ? Buffer.from(found.value).toString('latin1') : ''
}

/** Segment by segment, ascending z. */
function framesOf(mask: Mask, segments: readonly Segment[]): Frame[] {
  const found = Array.from({ length: mask.shape[2] }, (_, z) => new Set(mask.runs(z).value))
  const frames = segments.flatMap(({ value }, segment) =>
    found.flatMap((values, z): Frame[] => (values.has(value) ? [{ segment, z }] : [])),
  )
  return frames.length > 0 ? frames : [{ segment: 0, z: 0 }]
}

/** Whatever changes the object changes its name. */
function instanceUidOf(series: DicomSeries, mask: Mask, options: SegmentationOptions): string {
  const voxels = createHash('sha256')
  for (let z = 0; z < mask.shape[2]; z++) {
    const { from, to, value } = mask.runs(z)
    voxels.update(`${z} ${from.length} `)
    for (const part of [from, to, value]) voxels.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
  }
  const facts = JSON.stringify([series.seriesUid, series.instances, options])
  return uidOf('segmentation', facts, voxels.digest())
}

/** One bit a voxel, the first in the lowest bit, frame after frame without a gap (PS3.5, 8.2). */
function* packed(mask: Mask, frames: readonly Frame[], segments: readonly Segment[]): Generator<Uint8Array> {
  const plane = mask.shape[0] * mask.shape[1]
  let carried = 0
  let bits = 0
  for (const [i, { segment, z }] of frames.entries()) {
    const bytes = new Uint8Array(Math.ceil((bits + plane) / 8))
    bytes[0] = carried
    const { from, to, value } = mask.runs(z)
    for (let run = 0; run < from.length; run++) {
      if (value[run] === segments[segment]!.value) setBits(bytes, bits + from[run]!, bits + to[run]!)
    }
    const whole = (bits + plane) >> 3
    bits = (bits + plane) & 7
    carried = bits > 0 ? bytes[whole]! : 0
    yield i === frames.length - 1 ? bytes : bytes.subarray(0, whole)
  }
}

function setBits(bytes: Uint8Array, from: number, to: number): void {
  for (let bit = from; bit < to;) {
    if ((bit & 7) === 0 && to - bit >= 8) {
      bytes[bit >> 3] = 0xff
      bit += 8
    } else {
      bytes[bit >> 3]! |= 1 << (bit & 7)
      bit++
    }
  }
}

function dataSetOf(
  series: DicomSeries,
  frames: readonly Frame[],
  options: SegmentationOptions,
  instanceUid: string,
): DataSet {
  const { segments, version, algorithm } = options
  const dimensions = uidOf('dimensions', instanceUid)
  // Both are needed; without any date the object would be refused.
  const date = series.date || '19000101'
  const time = series.time || '000000'
  return [
    ...series.attributes.map(({ tag, vr, value }): Element => [tag, vr, value]),
    [0x00080008, 'CS', 'DERIVED\\PRIMARY'],
    [0x00080016, 'UI', segmentationStorage],
    [0x00080018, 'UI', instanceUid],
    [0x00080021, 'DA', date],
    [0x00080023, 'DA', date],
    [0x00080031, 'TM', time],
    [0x00080033, 'TM', time],
    [0x00080060, 'CS', 'SEG'],
    [0x00080070, 'LO', 'ctflow'],
    [0x0008103e, 'LO', 'Segmentation by ctflow'],
    [0x00081090, 'LO', 'ctflow'],
    [0x00081115, 'SQ', [referencedSeries(series)]],
    [0x00181000, 'LO', '1'],
    [0x00181020, 'LO', version],
    [0x0020000e, 'UI', uidOf('series', instanceUid)],
    [0x00200011, 'IS', '1'],
    [0x00200013, 'IS', '1'],
    [0x00209221, 'SQ', [[[0x00209164, 'UI', dimensions]]]],
    [0x00209222, 'SQ', [dimension(dimensions, 0x0062000b, 0x0062000a), dimension(dimensions, 0x00200032, 0x00209113)]],
    [0x00280002, 'US', [1]],
    [0x00280004, 'CS', 'MONOCHROME2'],
    [0x00280008, 'IS', String(frames.length)],
    [0x00280010, 'US', [series.rows]],
    [0x00280011, 'US', [series.columns]],
    [0x00280100, 'US', [1]],
    [0x00280101, 'US', [1]],
    [0x00280102, 'US', [0]],
    [0x00280103, 'US', [0]],
    [0x00282110, 'CS', '00'],
    [0x00620001, 'CS', 'BINARY'],
    [0x00620002, 'SQ', segments.map((segment, i) => describedSegment(segment, i + 1, algorithm))],
    [0x00620013, 'CS', 'NO'],
    [0x00700080, 'CS', 'SEGMENTATION'],
    [0x00700081, 'LO', options.model === undefined ? 'Segmentation' : `Weights ${options.model.slice(0, 16)}`],
    [0x00700084, 'PN', 'ctflow'],
    [0x52009229, 'SQ', [sharedGroups(series)]],
    [0x52009230, 'SQ', frameGroups(series, frames)],
  ]
}

function referencedSeries({ seriesUid, instances }: DicomSeries): DataSet {
  return [
    [0x0008114a, 'SQ', instances.map(reference)],
    [0x0020000e, 'UI', seriesUid],
  ]
}

function reference({ classUid, instanceUid }: DicomSeries['instances'][number]): DataSet {
  return [
    [0x00081150, 'UI', classUid],
    [0x00081155, 'UI', instanceUid],
  ]
}

function dimension(organization: string, pointer: number, group: number): DataSet {
  return [
    [0x00209164, 'UI', organization],
    [0x00209165, 'AT', [pointer]],
    [0x00209167, 'AT', [group]],
  ]
}

function describedSegment({ label, category, type }: Segment, number: number, algorithm: string): DataSet {
  return [
    [0x00620003, 'SQ', [coded(category)]],
    [0x00620004, 'US', [number]],
    [0x00620005, 'LO', plain(label)],
    [0x00620008, 'CS', 'AUTOMATIC'],
    [0x00620009, 'LO', plain(algorithm)],
    [0x0062000f, 'SQ', [coded(type)]],
  ]
}

/** What every character set has. A backslash would part two values. */
function plain(text: string): string {
  return text.replaceAll(/[^ -[\]-~]/g, '?').slice(0, 64)
}

function coded({ scheme, value, meaning }: Code): DataSet {
  return [
    [0x00080100, 'SH', value],
    [0x00080102, 'SH', scheme],
    [0x00080104, 'LO', meaning],
  ]
}

/** Orientation and distances of all frames. */
function sharedGroups(series: DicomSeries): DataSet {
  const distance = distanceOf(series)
  const measures: Element[] = [
    [0x00180050, 'DS', series.sliceThickness || decimal(distance ?? 1)],
    [0x00280030, 'DS', series.pixelSpacing],
  ]
  if (distance !== undefined) measures.push([0x00180088, 'DS', decimal(distance)])
  return [
    [0x00209116, 'SQ', [[[0x00200037, 'DS', series.orientation]]]],
    [0x00289110, 'SQ', [measures]],
  ]
}

/** Of neighbouring slices along their normal, mm. */
function distanceOf({ orientation, instances }: DicomSeries): number | undefined {
  if (instances.length < 2) return undefined
  const [a, b, c, d, e, f] = orientation.split('\\').map(Number) as [number, number, number, number, number, number]
  const [first, last] = [instances[0]!, instances.at(-1)!].map(({ position }) => position.split('\\').map(Number))
  const [x, y, z] = last!.map((value, i) => value - first![i]!) as [number, number, number]
  return Math.abs(x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)) / (instances.length - 1)
}

/** Place, segment and source of each frame. Places are numbered as far as a frame lies on them. */
function frameGroups({ instances }: DicomSeries, frames: readonly Frame[]): DataSet[] {
  const places = [...new Set(frames.map(({ z }) => z))].toSorted((a, b) => a - b)
  const numberOf = new Map(places.map((z, i) => [z, i + 1]))
  return frames.map(({ segment, z }) => {
    const instance = instances[z]!
    const source: DataSet = [
      ...reference(instance),
      [0x0028135a, 'CS', 'YES'],
      [
        0x0040a170,
        'SQ',
        [coded({ scheme: 'DCM', value: '121322', meaning: 'Source image for image processing operation' })],
      ],
    ]
    const derivation: DataSet = [
      [0x00082112, 'SQ', [source]],
      [0x00089215, 'SQ', [coded({ scheme: 'DCM', value: '113076', meaning: 'Segmentation' })]],
    ]
    return [
      [0x00089124, 'SQ', [derivation]],
      [0x00209111, 'SQ', [[[0x00209157, 'UL', [segment + 1, numberOf.get(z)!]]]]],
      [0x00209113, 'SQ', [[[0x00200032, 'DS', instance.position]]]],
      [0x0062000a, 'SQ', [[[0x0062000b, 'US', [segment + 1]]]]],
    ]
  })
}
