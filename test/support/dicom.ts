/** DICOM slices of any kind, for tests: element by element, independent of the product's writer. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'

export type Value = string | number | readonly number[] | Uint8Array
/** By tag, as 0xGGGGEEEE; undefined takes the element out. */
export type Elements = { readonly [tag: number]: readonly [vr: string, value: Value] | undefined }

export interface SliceFile {
  readonly syntax?: string
  readonly elements?: Elements
  /** Fragments of a compressed frame, in place of the voxels. */
  readonly fragments?: readonly Uint8Array[]
  readonly rows?: number
  readonly columns?: number
  /** Stored bytes, in the file's order. */
  readonly pixels?: Uint8Array
  readonly position?: readonly number[]
  readonly uid?: string
}

export const implicitLittle = '1.2.840.10008.1.2'
export const explicitLittle = '1.2.840.10008.1.2.1'
export const deflated = '1.2.840.10008.1.2.1.99'
export const explicitBig = '1.2.840.10008.1.2.2'

/** A file of one slice: 4 x 3 signed 16-bit voxels of 0 unless something else is said. */
export function sliceFile(options: SliceFile = {}): Buffer {
  const { syntax = explicitLittle, rows = 3, columns = 4, position = [-10, -20, 30], uid = '1.2.3.4' } = options
  const isBig = syntax === explicitBig
  const elements: Elements = {
    0x00080016: ['UI', '1.2.840.10008.5.1.4.1.1.2'],
    0x00080018: ['UI', uid],
    0x00080020: ['DA', '20200131'],
    0x00080060: ['CS', 'CT'],
    0x0008103e: ['LO', 'Thorax 1.0'],
    0x00100010: ['PN', 'Phantom^One'],
    0x00100020: ['LO', 'P-1'],
    0x00180050: ['DS', '2.5'],
    0x0020000d: ['UI', '1.2.3'],
    0x0020000e: ['UI', '1.2.3.1'],
    0x00200032: ['DS', position.join('\\')],
    0x00200037: ['DS', '1\\0\\0\\0\\1\\0'],
    0x00200052: ['UI', '1.2.3.9'],
    0x00280002: ['US', 1],
    0x00280004: ['CS', 'MONOCHROME2'],
    0x00280010: ['US', rows],
    0x00280011: ['US', columns],
    0x00280030: ['DS', '0.75\\0.5'],
    0x00280100: ['US', 16],
    0x00280101: ['US', 16],
    0x00280102: ['US', 15],
    0x00280103: ['US', 1],
    0x00281052: ['DS', '0'],
    0x00281053: ['DS', '1'],
    ...options.elements,
  }
  const parts = Object.entries(elements)
    .filter(([, element]) => element !== undefined)
    .map(([tag, element]) => [Number(tag), element!] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([tag, [vr, value]]) => encoded(tag, vr, bytesOf(vr, value, isBig), syntax))
  const pixels = options.pixels ?? new Uint8Array(rows * columns * 2)
  parts.push(options.fragments ? encapsulated(options.fragments) : encoded(0x7fe00010, 'OW', pixels, syntax))
  const meta = encoded(0x00020010, 'UI', bytesOf('UI', syntax, false), explicitLittle)
  const length = encoded(0x00020000, 'UL', Uint8Array.from([meta.length, 0, 0, 0]), explicitLittle)
  const body = Buffer.concat(parts)
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    length,
    meta,
    syntax === deflated ? deflateRawSync(body) : body,
  ])
}

/** Writes a folder of slices, `count` of them `spacing` mm apart along z, in the order of their places. */
export function writeSeries(
  folder: string,
  count: number,
  slice: (k: number) => SliceFile = () => ({}),
  { spacing = 2, name = (k: number): string => `IM${k}.dcm` } = {},
): string {
  mkdirSync(folder, { recursive: true })
  for (let k = 0; k < count; k++) {
    const options = { position: [-10, -20, 30 + k * spacing], uid: `1.2.3.4.${k}`, ...slice(k) }
    writeFileSync(join(folder, name(k)), sliceFile(options))
  }
  return folder
}

/** Voxels of 16 bits. */
export function shorts(values: readonly number[], isBig = false): Uint8Array {
  const bytes = Buffer.alloc(2 * values.length)
  values.forEach((value, i) =>
    isBig ? bytes.writeUInt16BE(value & 0xffff, 2 * i) : bytes.writeUInt16LE(value & 0xffff, 2 * i),
  )
  return bytes
}

function bytesOf(vr: string, value: Value, isBig: boolean): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'latin1')
    return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(vr === 'UI' ? '\0' : ' ')])
  }
  return shorts([value].flat() as number[], isBig)
}

function encoded(tag: number, vr: string, value: Uint8Array, syntax: string): Buffer {
  const isBig = syntax === explicitBig
  const isLong = ['OB', 'OW', 'SQ', 'UN', 'UT'].includes(vr)
  const head = Buffer.alloc(syntax === implicitLittle || !isLong ? 8 : 12)
  const short = (at: number, number: number): void =>
    void (isBig ? head.writeUInt16BE(number, at) : head.writeUInt16LE(number, at))
  const long = (at: number): void =>
    void (isBig ? head.writeUInt32BE(value.length, at) : head.writeUInt32LE(value.length, at))
  short(0, tag >>> 16)
  short(2, tag & 0xffff)
  if (syntax === implicitLittle) long(4)
  else {
    head.write(vr, 4, 'latin1')
    if (isLong) long(8)
    else short(6, value.length)
  }
  return Buffer.concat([head, value])
}

/** PS3.5 A.4, with an empty offset table. */
function encapsulated(fragments: readonly Uint8Array[]): Buffer {
  const head = Buffer.from([0xe0, 0x7f, 0x10, 0, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff])
  const items = [new Uint8Array(0), ...fragments].map(bytes => item(0xe000, bytes))
  return Buffer.concat([head, ...items, item(0xe0dd, new Uint8Array(0))])
}

/** Filled up to an even length. */
function item(element: number, bytes: Uint8Array): Buffer {
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)])
  const head = Buffer.alloc(8)
  head.writeUInt16LE(0xfffe, 0)
  head.writeUInt16LE(element, 2)
  head.writeUInt32LE(even.length, 4)
  return Buffer.concat([head, even])
}
