/** DICOM's transfer syntaxes: how voxels are stored, by UID (PS3.6 table A-1). */

export type Codec = 'jpeg' | 'jpeg-lossless' | 'jpeg-ls' | 'jpeg-2000' | 'rle'

export interface TransferSyntax {
  readonly uid: string
  readonly name: string
  readonly littleEndian: boolean
  /** Whether the whole data set is deflated. */
  readonly isDeflated: boolean
  /** What decodes the frames; without it they are stored as they are. */
  readonly codec?: Codec
}

const native: readonly TransferSyntax[] = [
  { uid: '1.2.840.10008.1.2', name: 'Implicit VR Little Endian', littleEndian: true, isDeflated: false },
  { uid: '1.2.840.10008.1.2.1', name: 'Explicit VR Little Endian', littleEndian: true, isDeflated: false },
  { uid: '1.2.840.10008.1.2.1.99', name: 'Deflated Explicit VR Little Endian', littleEndian: true, isDeflated: true },
  { uid: '1.2.840.10008.1.2.2', name: 'Explicit VR Big Endian', littleEndian: false, isDeflated: false },
]

const encapsulated: readonly (readonly [uid: string, name: string, codec: Codec])[] = [
  ['1.2.840.10008.1.2.4.50', 'JPEG Baseline', 'jpeg'],
  ['1.2.840.10008.1.2.4.57', 'JPEG Lossless', 'jpeg-lossless'],
  ['1.2.840.10008.1.2.4.70', 'JPEG Lossless, First-Order Prediction', 'jpeg-lossless'],
  ['1.2.840.10008.1.2.4.80', 'JPEG-LS Lossless', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.81', 'JPEG-LS Near-Lossless', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.90', 'JPEG 2000 Lossless', 'jpeg-2000'],
  ['1.2.840.10008.1.2.4.91', 'JPEG 2000', 'jpeg-2000'],
  ['1.2.840.10008.1.2.5', 'RLE Lossless', 'rle'],
]

/** By UID; what is not in here cannot be read. */
export const transferSyntaxes: ReadonlyMap<string, TransferSyntax> = new Map(
  [
    ...native,
    ...encapsulated.map(([uid, name, codec]) => ({ uid, name, codec, littleEndian: true, isDeflated: false })),
  ].map(syntax => [syntax.uid, syntax]),
)

/** Names of what is met in the field and refused, for people. */
export const refusedSyntaxes: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10008.1.2.4.51', 'JPEG Extended (12 bit)'],
  ['1.2.840.10008.1.2.4.92', 'JPEG 2000 Part 2, Lossless'],
  ['1.2.840.10008.1.2.4.93', 'JPEG 2000 Part 2'],
  ['1.2.840.10008.1.2.4.100', 'MPEG-2'],
  ['1.2.840.10008.1.2.4.102', 'MPEG-4'],
  ['1.2.840.10008.1.2.4.201', 'High-Throughput JPEG 2000, Lossless'],
  ['1.2.840.10008.1.2.4.202', 'High-Throughput JPEG 2000 with RPCL, Lossless'],
  ['1.2.840.10008.1.2.4.203', 'High-Throughput JPEG 2000'],
])
