/** Writing DICOM data sets in explicit VR little endian (PS3.5, 7.1.2), element by element. */

import { createHash } from 'node:crypto'

/** Text, numbers (US, UL; for AT whole tags), bytes, or the items of a sequence. */
export type Value = string | Uint8Array | readonly number[] | readonly DataSet[]
/** An element: tag as 0xGGGGEEEE, its VR, its value. */
export type Element = readonly [tag: number, vr: string, value: Value]
/** In any order. */
export type DataSet = readonly Element[]

/** Their lengths take four bytes. */
const longs: ReadonlySet<string> = new Set(['OB', 'OW', 'SQ', 'UN', 'UT'])
const explicitLittleEndian = '1.2.840.10008.1.2.1'

/** A UID made of a hash (PS3.5, B.2): of equal parts it is the same one. */
export function uidOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return `2.25.${BigInt(`0x${hash.digest('hex').slice(0, 32)}`)}`
}

/** The elements' bytes, tags ascending, texts and bytes filled up to an even length. */
export function encodeDataSet(elements: DataSet): Uint8Array {
  return Buffer.concat(elements.toSorted(([a], [b]) => a - b).map(encodeElement))
}

/** What comes before a data set in a file: preamble and meta header (PS3.10, 7.1). */
export function fileHead(classUid: string, instanceUid: string, version: string): Uint8Array {
  const meta = encodeDataSet([
    [0x00020001, 'OB', Uint8Array.of(0, 1)],
    [0x00020002, 'UI', classUid],
    [0x00020003, 'UI', instanceUid],
    [0x00020010, 'UI', explicitLittleEndian],
    [0x00020012, 'UI', uidOf('ctflow')],
    [0x00020013, 'SH', `CTFLOW ${version}`.slice(0, 16)],
  ])
  const length = encodeElement([0x00020000, 'UL', [meta.length]])
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), length, meta])
}

/** The head of an element whose `length` bytes, an even number, follow. */
export function elementHead(tag: number, vr: string, length: number): Uint8Array {
  const isLong = longs.has(vr)
  const head = Buffer.alloc(isLong ? 12 : 8)
  head.writeUInt16LE(tag >>> 16, 0)
  head.writeUInt16LE(tag & 0xffff, 2)
  head.write(vr, 4, 'latin1')
  if (isLong) head.writeUInt32LE(length, 8)
  else head.writeUInt16LE(length, 6)
  return head
}

/** A number as a decimal string, which has room for 16 characters. */
export function decimal(value: number): string {
  for (let digits = 17; digits > 0; digits--) {
    const text = String(Number(value.toPrecision(digits)))
    if (text.length <= 16) return text
  }
  return value.toExponential(9)
}

function encodeElement([tag, vr, value]: Element): Uint8Array {
  const bytes = bytesOf(vr, value)
  return Buffer.concat([elementHead(tag, vr, bytes.length), bytes])
}

function bytesOf(vr: string, value: Value): Uint8Array {
  if (vr === 'SQ') return Buffer.concat((value as readonly DataSet[]).map(encodeItem))
  if (typeof value === 'string') return evened(Buffer.from(value, 'latin1'), vr === 'UI' ? 0 : 0x20)
  if (value instanceof Uint8Array) return evened(value, ['UI', 'OB', 'UN'].includes(vr) ? 0 : 0x20)
  const numbers = value as readonly number[]
  if (vr === 'US') return uint16s(numbers)
  if (vr === 'AT') return uint16s(numbers.flatMap(tag => [tag >>> 16, tag & 0xffff]))
  const bytes = Buffer.alloc(4 * numbers.length)
  numbers.forEach((number, i) => bytes.writeUInt32LE(number, 4 * i))
  return bytes
}

/** Items of known length. */
function encodeItem(elements: DataSet): Uint8Array {
  const bytes = encodeDataSet(elements)
  const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0])
  head.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([head, bytes])
}

function uint16s(numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(2 * numbers.length)
  numbers.forEach((number, i) => bytes.writeUInt16LE(number, 2 * i))
  return bytes
}

function evened(bytes: Uint8Array, fill: number): Uint8Array {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Uint8Array.of(fill)])
}
