/** One slice of a CT series: what its header says, checked. Lengths in mm, positions in DICOM's world (LPS). */

import type { DataSet } from 'dicom-parser'
import { PipelineError, type ErrorCode } from '../../pipeline/errors.ts'
import type { Point3 } from '../affine.ts'
import type { Fingerprint } from '../stored-bytes.ts'
import { pixelData, type DicomHeader } from './header.ts'
import { refusedSyntaxes, transferSyntaxes, type TransferSyntax } from './syntax.ts'

/** What a file says of the series that it belongs to; empty where it does not say. */
export interface Identity {
  readonly path: string
  readonly seriesUid: string
  readonly description: string
  readonly modality: string
}

/** How one voxel is stored: PS3.5, 8.1.1. */
export interface StoredBits {
  readonly allocated: 8 | 16 | 32
  readonly stored: number
  readonly highBit: number
  readonly isSigned: boolean
}

export interface Slice {
  readonly path: string
  readonly fingerprint: Fingerprint
  readonly instanceUid: string
  readonly rows: number
  readonly columns: number
  /** Centre of the first voxel. */
  readonly position: Point3
  /** Directions of a row (along which columns count) and of a column. */
  readonly orientation: readonly number[]
  /** Of rows, then of columns: DICOM's order. */
  readonly pixelSpacing: readonly [number, number]
  /** Of a slice alone: its thickness, or what its series says of the next one. */
  readonly thickness: number | undefined
  readonly bits: StoredBits
  /** HU = stored * slope + intercept. */
  readonly slope: number
  readonly intercept: number
  /** Whether small values are meant to be shown white; HU are the same. */
  readonly isInverted: boolean
  readonly syntax: TransferSyntax
  /** Where its pixels lie in the data set; encapsulated ones go on to the end of the file. */
  readonly pixels: { readonly offset: number; readonly bytes: number }
  /** As written, for objects that refer to it. */
  readonly text: { readonly position: string; readonly instanceUid: string; readonly classUid: string }
}

/** Bytes of a slice's voxels as stored, not compressed. */
export function frameBytes({ rows, columns, bits }: Pick<Slice, 'rows' | 'columns' | 'bits'>): number {
  return (rows * columns * bits.allocated) / 8
}

export function identityOf({ path, dataSet }: DicomHeader): Identity {
  return {
    path,
    seriesUid: dataSet.string('x0020000e') ?? '',
    description: dataSet.string('x0008103e') ?? '',
    modality: dataSet.string('x00080060') ?? '',
  }
}

const enhanced: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10008.5.1.4.1.1.2.1', 'an Enhanced CT Image'],
  ['1.2.840.10008.5.1.4.1.1.2.2', 'a Legacy Converted Enhanced CT Image'],
])

/**
 * ERR_VOLUME: what the file holds is no plane of scalar voxels with a place, or cannot be turned into HU; ERR_FILE: its
 * pixels are not all there.
 */
export function sliceOf(header: DicomHeader): Slice {
  const { path, fingerprint, dataSet } = header
  const classUid = dataSet.string('x00080016') ?? ''
  const frames = integer(dataSet, 'x00280008') ?? 1
  const refuse = (expected: string, found: string, cure = ''): PipelineError =>
    refusal('ERR_VOLUME', path, expected, found, cure)
  if (enhanced.has(classUid) || frames !== 1) {
    throw refuse(
      'slices of one frame each',
      `${enhanced.get(classUid) ?? 'a multi-frame object'} of ${frames} frames`,
      'split it into single frames, or convert it to NIfTI',
    )
  }
  const { rows, columns } = extents(dataSet, refuse)
  const bits = bitsOf(header, refuse)
  const syntax = syntaxOf(header, refuse)
  const [slope, intercept] = rescaleOf(dataSet, refuse)
  const slice = { rows, columns, bits }
  return {
    path,
    fingerprint,
    ...slice,
    ...placeOf(dataSet, refuse),
    instanceUid: dataSet.string('x00080018') ?? '',
    thickness: positive(numbers(dataSet, 'x00180050')[0]) ?? positive(numbers(dataSet, 'x00180088')[0]),
    slope,
    intercept,
    isInverted: dataSet.string('x00280004') === 'MONOCHROME1',
    syntax,
    pixels: pixelsOf(header, syntax, frameBytes(slice)),
    text: {
      position: dataSet.string('x00200032') ?? '',
      instanceUid: dataSet.string('x00080018') ?? '',
      classUid,
    },
  }
}

type Refuse = (expected: string, found: string, cure?: string) => PipelineError

function refusal(code: ErrorCode, path: string, expected: string, found: string, cure = ''): PipelineError {
  return new PipelineError(code, `${path}: expected ${expected}, found ${found}${cure && `; ${cure}`}`, { path })
}

function extents(dataSet: DataSet, refuse: Refuse): { rows: number; columns: number } {
  const [rows, columns] = [dataSet.uint16('x00280010') ?? 0, dataSet.uint16('x00280011') ?? 0]
  if (rows > 0 && columns > 0) return { rows, columns }
  const modality = dataSet.string('x00080060') ?? 'nothing'
  throw refuse('an image with Rows and Columns', `${modality} without`, 'keep other objects in another folder')
}

function bitsOf({ dataSet, syntax }: DicomHeader, refuse: Refuse): StoredBits {
  const photometric = dataSet.string('x00280004') ?? 'nothing'
  const samples = dataSet.uint16('x00280002') ?? 1
  if (samples !== 1 || !photometric.startsWith('MONOCHROME')) {
    throw refuse(
      'one value per voxel (MONOCHROME2)',
      `${samples} (${photometric})`,
      'coloured images have no HU: leave them out of the folder',
    )
  }
  const allocated = dataSet.uint16('x00280100') ?? 0
  const stored = dataSet.uint16('x00280101') ?? allocated
  const highBit = dataSet.uint16('x00280102') ?? stored - 1
  const fits = stored >= 1 && highBit >= stored - 1 && highBit < allocated
  if ((allocated !== 8 && allocated !== 16 && allocated !== 32) || !fits)
    throw refuse('voxels of 8, 16 or 32 bits', `${stored} bits stored in ${allocated}, the highest ${highBit}`)
  if (allocated === 8 && syntax === '1.2.840.10008.1.2.2')
    throw refuse(
      '16 or 32 bits in a big-endian file',
      '8, whose order writers disagree on',
      'convert it to little endian',
    )
  return { allocated, stored, highBit, isSigned: dataSet.uint16('x00280103') === 1 }
}

function syntaxOf({ syntax, dataSet }: DicomHeader, refuse: Refuse): TransferSyntax {
  const known = transferSyntaxes.get(syntax)
  if (!known) {
    const name = refusedSyntaxes.get(syntax)
    throw refuse(
      'a transfer syntax that can be read',
      name === undefined ? JSON.stringify(syntax) : `${name} (${syntax})`,
      'decompress it first, with dcmdjpeg or gdcmconv --raw',
    )
  }
  if (known.codec === 'jpeg' && dataSet.uint16('x00280100') !== 8)
    throw refuse('8 bits in a JPEG Baseline image', `${dataSet.uint16('x00280100')}`, 'decompress it first')
  return known
}

/** A CT without them would be read as HU that it does not hold. */
function rescaleOf(dataSet: DataSet, refuse: Refuse): [slope: number, intercept: number] {
  if (dataSet.elements['x00283000'])
    throw refuse('RescaleSlope and RescaleIntercept', 'a ModalityLUTSequence', 'convert it to NIfTI')
  const [slope] = numbers(dataSet, 'x00281053')
  const [intercept] = numbers(dataSet, 'x00281052')
  if (slope === undefined && intercept === undefined && dataSet.string('x00080060') !== 'CT') return [1, 0]
  if (slope !== undefined && intercept !== undefined && Number.isFinite(slope + intercept) && slope !== 0)
    return [slope, intercept]
  throw refuse(
    'RescaleSlope and RescaleIntercept, which turn stored values into HU',
    `${slope ?? 'none'} and ${intercept ?? 'none'}`,
    'export the series anew with them',
  )
}

/** PS3.3 C.7.6.2: cosines of length one and at a right angle, up to what their digits round. */
function placeOf(dataSet: DataSet, refuse: Refuse): Pick<Slice, 'position' | 'orientation' | 'pixelSpacing'> {
  const position = numbers(dataSet, 'x00200032')
  const orientation = numbers(dataSet, 'x00200037')
  const spacing = numbers(dataSet, 'x00280030')
  const complete = [
    ['ImagePositionPatient (0020,0032)', position, 3],
    ['ImageOrientationPatient (0020,0037)', orientation, 6],
    ['PixelSpacing (0028,0030)', spacing, 2],
  ] as const
  for (const [name, values, count] of complete) {
    if (values.length === count && values.every(Number.isFinite)) continue
    const found = values.length === 0 ? 'none' : values.join('\\')
    throw refuse(
      `${count} numbers in ${name}`,
      found,
      'without them its place is not known; leave localizers and reports out of the folder',
    )
  }
  const [a, b, c, d, e, f] = orientation as [number, number, number, number, number, number]
  const errors = [Math.hypot(a, b, c) - 1, Math.hypot(d, e, f) - 1, a * d + b * e + c * f]
  if (errors.some(error => Math.abs(error) > 1e-3))
    throw refuse('two directions of length one at a right angle in ImageOrientationPatient', orientation.join('\\'))
  if (spacing.some(length => !(length > 0))) throw refuse('PixelSpacing above 0 mm', spacing.join('\\'))
  return {
    position: position as unknown as Point3,
    orientation,
    pixelSpacing: [spacing[0]!, spacing[1]!],
  }
}

function pixelsOf({ path, dataSet, size }: DicomHeader, syntax: TransferSyntax, expected: number): Slice['pixels'] {
  const element = dataSet.elements[pixelData]
  if (!element) throw refusal('ERR_VOLUME', path, 'PixelData (7FE0,0010)', 'none', 'is it an image?')
  const { dataOffset, length, hadUndefinedLength } = element
  if (syntax.codec) {
    if (!hadUndefinedLength || dataOffset >= size)
      throw refusal('ERR_FILE', path, `${syntax.name} in fragments`, `${length} bytes that are none`)
    return { offset: dataOffset, bytes: size - dataOffset }
  }
  const there = Math.min(hadUndefinedLength ? 0 : length, size - dataOffset)
  if (there < expected) {
    throw refusal('ERR_FILE', path, `${expected} bytes of pixels`, `${there}`, 'the file is truncated: copy it again')
  }
  // An odd length is filled up to an even one.
  if (length > expected + 1)
    throw refusal(
      'ERR_VOLUME',
      path,
      `${expected} bytes of pixels, as Rows, Columns and BitsAllocated say`,
      `${length}`,
    )
  return { offset: dataOffset, bytes: expected }
}

/** The numbers of a decimal string; NaN for what is none. */
function numbers(dataSet: DataSet, tag: string): number[] {
  const text = dataSet.string(tag)?.trim()
  return text === undefined || text === ''
    ? []
    : text.split('\\').map(part => (part.trim() === '' ? NaN : Number(part)))
}

function integer(dataSet: DataSet, tag: string): number | undefined {
  const [value] = numbers(dataSet, tag)
  return value
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined
}
