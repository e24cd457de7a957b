/** What objects that refer to a series must repeat of it: patient, study, frame of reference, its instances and their places. */

import { readHeader, readingOf, type DicomHeader } from './header.ts'
import type { Slice } from './slice.ts'

/** An element as it is in a file. */
export interface Attribute {
  /** As 0xGGGGEEEE. */
  readonly tag: number
  readonly vr: string
  /** In the character set of the file, without its padding; empty where the file has none. */
  readonly value: Uint8Array
}

/** A series, its instances in the order of the volume's planes. */
export interface DicomSeries {
  /** For messages. */
  readonly path: string
  readonly seriesUid: string
  readonly frameOfReferenceUid: string
  readonly rows: number
  readonly columns: number
  /** As written: decimal strings, parted by backslashes. */
  readonly orientation: string
  readonly pixelSpacing: string
  readonly sliceThickness: string
  readonly instances: readonly { readonly classUid: string; readonly instanceUid: string; readonly position: string }[]
  /** When it was acquired, as far as it says: YYYYMMDD and HHMMSS.FFFFFF. */
  readonly date: string
  readonly time: string
  /** Of patient, study, equipment's place and character set; ascending. */
  readonly attributes: readonly Attribute[]
}

/** The modules Patient and General Study, what they must have, and what tells character set and time zone of them. */
const copied: readonly (readonly [tag: number, vr: string])[] = [
  [0x00080005, 'CS'],
  [0x00080020, 'DA'],
  [0x00080030, 'TM'],
  [0x00080050, 'SH'],
  [0x00080090, 'PN'],
  [0x00080201, 'SH'],
  [0x00081030, 'LO'],
  [0x00100010, 'PN'],
  [0x00100020, 'LO'],
  [0x00100030, 'DA'],
  [0x00100040, 'CS'],
  [0x00101010, 'AS'],
  [0x0020000d, 'UI'],
  [0x00200010, 'SH'],
  [0x00200052, 'UI'],
  [0x00201040, 'LO'],
]

/** Where they are not there, they are left out and not left empty. */
const optional: ReadonlySet<number> = new Set([0x00080005, 0x00080201, 0x00081030, 0x00101010])

/** Of slices in the order of the volume's planes. Reads the first one's header once more. */
export async function seriesFactsOf(slices: readonly Slice[]): Promise<DicomSeries> {
  const first = slices[0]!
  const header = await readHeader(first.path)
  return readingOf(first.path, () => factsOf(header, slices))
}

function factsOf(header: DicomHeader, slices: readonly Slice[]): DicomSeries {
  const first = slices[0]!
  const text = (tag: number): string => header.dataSet.string(keyOf(tag))?.trim() ?? ''
  const firstOf = (...tags: number[]): string => tags.map(text).find(value => value !== '') ?? ''
  return {
    path: first.path,
    seriesUid: text(0x0020000e),
    frameOfReferenceUid: text(0x00200052),
    rows: first.rows,
    columns: first.columns,
    orientation: text(0x00200037),
    pixelSpacing: text(0x00280030),
    sliceThickness: text(0x00180050),
    instances: slices.map(({ text: written }) => written),
    date: firstOf(0x00080023, 0x00080022, 0x00080021, 0x00080020),
    time: firstOf(0x00080033, 0x00080032, 0x00080031, 0x00080030),
    attributes: copied
      .map(([tag, vr]) => ({ tag, vr, value: valueOf(header, tag) }))
      .filter(({ tag, value }) => value.length > 0 || !optional.has(tag)),
  }
}

function keyOf(tag: number): string {
  return `x${tag.toString(16).padStart(8, '0')}`
}

function valueOf({ dataSet }: DicomHeader, tag: number): Uint8Array {
  const element = dataSet.elements[keyOf(tag)]
  if (!element) return new Uint8Array(0)
  let end = element.dataOffset + element.length
  while (end > element.dataOffset && (dataSet.byteArray[end - 1] === 0x20 || dataSet.byteArray[end - 1] === 0)) end--
  return Uint8Array.from(dataSet.byteArray.subarray(element.dataOffset, end))
}
