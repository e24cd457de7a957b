/**
 * NIfTI-1 and NIfTI-2 headers: the fields we use, checked, in either byte order. Layout: nifti1.h and nifti2.h; the
 * choice of the affine follows nibabel (`get_best_affine`) and MONAI (`correct_nifti_header_if_necessary`).
 */

import { readHeader } from 'nifti-reader-js'
import { PipelineError } from '../pipeline/errors.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { determinant, spacingOf } from './affine.ts'

export type DatatypeName =
  'uint8' | 'int8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'float32' | 'float64'

/** Types of voxels that are read, by NIfTI's code. */
export const datatypes: ReadonlyMap<number, { readonly name: DatatypeName; readonly bytes: number }> = new Map([
  [2, { name: 'uint8', bytes: 1 }],
  [4, { name: 'int16', bytes: 2 }],
  [8, { name: 'int32', bytes: 4 }],
  [16, { name: 'float32', bytes: 4 }],
  [64, { name: 'float64', bytes: 8 }],
  [256, { name: 'int8', bytes: 1 }],
  [512, { name: 'uint16', bytes: 2 }],
  [768, { name: 'uint32', bytes: 4 }],
  [1024, { name: 'int64', bytes: 8 }],
  [1280, { name: 'uint64', bytes: 8 }],
])

const refusedDatatypes: ReadonlyMap<number, string> = new Map([
  [1, 'binary (1 bit)'],
  [32, 'complex64'],
  [128, 'RGB24'],
  [1536, 'float128'],
  [1792, 'complex128'],
  [2048, 'complex256'],
  [2304, 'RGBA32'],
])

const spatialUnits = ['unknown', 'metre', 'mm', 'micron']

/** The header of a NIfTI file, checked: whoever holds one may trust its numbers. */
export interface NiftiHeader {
  readonly version: 1 | 2
  readonly littleEndian: boolean
  /** True for a header whose voxels lie in an .img file beside it. */
  readonly isPair: boolean
  readonly shape: Shape3
  /** Product of all dimensions after the third. */
  readonly volumes: number
  readonly datatype: DatatypeName
  readonly bytesPerVoxel: number
  /** Where the voxels begin, bytes. */
  readonly offset: number
  /** value = raw * slope + intercept; 1 and 0 where the file asks for no scaling. */
  readonly slope: number
  readonly intercept: number
  /** Row-major 4x4, voxel index to millimetres. */
  readonly affine: readonly number[]
  readonly qformCode: number
  readonly sformCode: number
  /** Unit of length as declared; like nibabel and MONAI we take lengths as millimetres whatever it says. */
  readonly units: string
  readonly description: string
  /** The first 348 or 540 bytes as they are in the file. */
  readonly bytes: Uint8Array
}

/** Where the fields lie, and how wide they are, in each version of the format. */
const layouts = {
  1: {
    size: 348,
    dim: 40,
    pixdim: 76,
    datatype: 70,
    offset: 108,
    slope: 112,
    units: 123,
    codes: 252,
    quatern: 256,
    srow: 280,
    magic: 344,
    description: 148,
  },
  2: {
    size: 540,
    dim: 16,
    pixdim: 104,
    datatype: 12,
    offset: 168,
    slope: 176,
    units: 500,
    codes: 344,
    quatern: 352,
    srow: 400,
    magic: 4,
    description: 240,
  },
} as const

export type Layout = (typeof layouts)[1 | 2]

/** The layout of a version. */
export function layoutOf(version: 1 | 2): Layout {
  return layouts[version]
}

/** Version and byte order by the first four bytes, `undefined` where they are neither 348 nor 540. */
export function recognise(bytes: Uint8Array): { version: 1 | 2; littleEndian: boolean } | undefined {
  if (bytes.length < 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const littleEndian of [true, false]) {
    const size = view.getInt32(0, littleEndian)
    if (size === 348) return { version: 1, littleEndian }
    if (size === 540) return { version: 2, littleEndian }
  }
  return undefined
}

/** The geometry as written: what is compared, corrected and copied. Float32 of NIfTI-1 is widened, exactly. */
export interface RawGeometry {
  readonly dims: readonly number[]
  readonly pixdims: readonly number[]
  /** b, c, d, then the offsets x, y, z. */
  readonly quatern: readonly number[]
  readonly srow: readonly number[]
  readonly qformCode: number
  readonly sformCode: number
  readonly units: number
}

/**
 * The geometry fields of header bytes in either version and byte order. Read here and not taken from nifti-reader-js:
 * its `affine` prefers the qform where the codes differ, does not centre or mirror where both are 0, and its 64-bit
 * integers are wrong for big-endian files.
 */
export function rawGeometry(bytes: Uint8Array): RawGeometry {
  const { version, littleEndian } = recognise(bytes)!
  const at = layouts[version]
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const floats = (offset: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) =>
      version === 1 ? view.getFloat32(offset + i * 4, littleEndian) : view.getFloat64(offset + i * 8, littleEndian),
    )
  const dims = Array.from({ length: 8 }, (_, i) =>
    version === 1
      ? view.getInt16(at.dim + i * 2, littleEndian)
      : Number(view.getBigInt64(at.dim + i * 8, littleEndian)),
  )
  const code = (i: number): number =>
    version === 1 ? view.getInt16(at.codes + i * 2, littleEndian) : view.getInt32(at.codes + i * 4, littleEndian)
  return {
    dims,
    pixdims: floats(at.pixdim, 8),
    quatern: floats(at.quatern, 6),
    srow: floats(at.srow, 12),
    qformCode: code(0),
    sformCode: code(1),
    units: version === 1 ? view.getUint8(at.units) : view.getInt32(at.units, littleEndian),
  }
}

/**
 * Checks and reads a header. `bytes` are the first bytes of the (inflated) file, at least 348 or 540 of them; `path` is
 * for messages. ERR_FILE: not NIfTI, or offsets out of order; ERR_VOLUME: dimensions, spacing or affine make no sense.
 */
export function parseHeader(bytes: Uint8Array, path: string): NiftiHeader {
  const kind = recognise(bytes)
  if (!kind) throw new PipelineError('ERR_FILE', notNifti(bytes, path), { path })
  const { version, littleEndian } = kind
  const at = layouts[version]
  if (bytes.length < at.size) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a header of ${at.size} bytes, found ${bytes.length}; the file is truncated`,
      { path },
    )
  }
  const magic = String.fromCharCode(...bytes.subarray(at.magic, at.magic + 3))
  if (magic !== `n+${version}` && magic !== `ni${version}`) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected the magic "n+${version}" or "ni${version}" of NIfTI, found ${JSON.stringify(magic)}; an ANALYZE 7.5 file has none and must be converted to NIfTI first`,
      { path, magic },
    )
  }
  // A copy of just the header: given more, nifti-reader-js follows extension sizes out of the buffer.
  const own = bytes.slice(0, at.size)
  const fields = readHeader(own.buffer, true)
  const raw = rawGeometry(own)
  const { shape, volumes } = checkDims(raw.dims, path)
  const type = datatypes.get(fields.datatypeCode)
  if (!type) {
    const name = refusedDatatypes.get(fields.datatypeCode) ?? 'unknown to NIfTI'
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected voxels of one of ${[...datatypes.values()].map(t => t.name).join(', ')}, found datatype ${fields.datatypeCode} (${name})`,
      { path, datatype: fields.datatypeCode },
    )
  }
  const isPair = magic.startsWith('ni')
  const { slope, intercept } = scaling(fields.scl_slope, fields.scl_inter, path)
  return {
    version,
    littleEndian,
    isPair,
    shape,
    volumes,
    datatype: type.name,
    bytesPerVoxel: type.bytes,
    offset: checkOffset(own, version, littleEndian, isPair, path),
    slope,
    intercept,
    affine: bestAffine(raw, path),
    qformCode: raw.qformCode,
    sformCode: raw.sformCode,
    units: spatialUnits[raw.units & 7] ?? 'unknown',
    description: fields.description,
    bytes: own,
  }
}

function notNifti(bytes: Uint8Array, path: string): string {
  const starts = (...magic: number[]): boolean => magic.every((byte, i) => bytes[i] === byte)
  const isDicom = bytes.length >= 132 && String.fromCharCode(...bytes.subarray(128, 132)) === 'DICM'
  const found =
    bytes.length === 0
      ? 'an empty file'
      : starts(0x42, 0x5a, 0x68)
        ? 'a bzip2 file; unpack it with bunzip2'
        : starts(0xfd, 0x37, 0x7a, 0x58, 0x5a)
          ? 'an xz file; unpack it with xz -d'
          : starts(0x50, 0x4b)
            ? 'a zip archive; unpack it'
            : starts(0x4e, 0x52, 0x52, 0x44)
              ? 'an NRRD file; convert it to NIfTI'
              : isDicom
                ? 'a DICOM file; convert the series to NIfTI, for instance with dcm2niix'
                : `bytes ${[...bytes.subarray(0, 4)].map(byte => byte.toString(16).padStart(2, '0')).join(' ')} where the header's size, 348 or 540, should be`
  return `${path}: expected a NIfTI-1 or NIfTI-2 file, found ${found}`
}

function checkDims(dims: readonly number[], path: string): { shape: Shape3; volumes: number } {
  const rank = dims[0]!
  const text = `dim = [${dims.join(', ')}]`
  if (rank < 1 || rank > 7) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected 1 to 7 dimensions, found ${rank} (${text}); the header is damaged`,
      { path, dims },
    )
  }
  if (rank < 3) {
    throw new PipelineError('ERR_VOLUME', `${path}: expected a 3-D volume, found ${rank} dimensions (${text})`, {
      path,
      dims,
    })
  }
  const extents = dims.slice(1, rank + 1)
  if (extents.some(n => n < 1)) {
    throw new PipelineError('ERR_VOLUME', `${path}: expected every dimension to be at least 1, found ${text}`, {
      path,
      dims,
    })
  }
  if (!Number.isSafeInteger(extents.reduce((product, n) => product * n, 8))) {
    throw new PipelineError('ERR_VOLUME', `${path}: expected dimensions that a computer can hold, found ${text}`, {
      path,
      dims,
    })
  }
  return {
    shape: [extents[0]!, extents[1]!, extents[2]!],
    volumes: extents.slice(3).reduce((product, n) => product * n, 1),
  }
}

function checkOffset(bytes: Uint8Array, version: 1 | 2, littleEndian: boolean, isPair: boolean, path: string): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = layouts[version]
  const offset =
    version === 1 ? view.getFloat32(at.offset, littleEndian) : Number(view.getBigInt64(at.offset, littleEndian))
  const least = isPair ? 0 : at.size + 4
  // Old SPM wrote 0 and meant "right after the header".
  if (offset === 0) return least
  if (!Number.isSafeInteger(offset) || offset < least) {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected the voxels to begin at byte ${least} or later, found vox_offset ${offset}`,
      { path, offset },
    )
  }
  return offset
}

/** nibabel's `get_slope_inter`: slope 0 or not finite means no scaling, whatever the intercept says. */
function scaling(slope: number, intercept: number, path: string): { slope: number; intercept: number } {
  if (slope === 0 || !Number.isFinite(slope)) return { slope: 1, intercept: 0 }
  if (!Number.isFinite(intercept)) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected a finite scl_inter beside scl_slope ${slope}, found ${intercept}`,
      { path, slope, intercept },
    )
  }
  return { slope, intercept }
}

/**
 * sform over qform over the bare pixdims. Where the lengths of the chosen affine contradict the pixdims, the other form
 * wins if it agrees with them (MONAI); pixdims that are no lengths at all are not asked.
 */
function bestAffine(raw: RawGeometry, path: string): number[] {
  // nibabel reads a negative pixdim as its absolute value.
  const zooms = raw.pixdims.slice(1, 4).map(Math.abs)
  const usable = zooms.every(zoom => zoom > 0 && Number.isFinite(zoom))
  const sform = raw.sformCode > 0 ? [...raw.srow, 0, 0, 0, 1] : undefined
  const qform = raw.qformCode > 0 ? qformAffine(raw.quatern, zooms, raw.pixdims[0]!) : undefined
  const agrees = (affine: readonly number[]): boolean =>
    spacingOf(affine).every((norm, i) => Math.abs(norm - zooms[i]!) <= 1e-8 + 1e-5 * Math.abs(zooms[i]!))
  const chosen =
    sform && qform && raw.dims[0]! < 5 && usable && !agrees(sform) && agrees(qform)
      ? qform
      : (sform ?? qform ?? baseAffine(raw.dims, zooms))
  checkAffine(chosen, raw, path)
  return chosen
}

/** nibabel's `get_qform`: unit quaternion, lengths from the pixdims, the sign of z from pixdim[0]. */
function qformAffine(quatern: readonly number[], zooms: readonly number[], qfac: number): number[] {
  const [b, c, d, x, y, z] = quatern as [number, number, number, number, number, number]
  const a = Math.sqrt(Math.max(0, 1 - (b * b + c * c + d * d)))
  const s = 2 / (a * a + b * b + c * c + d * d)
  const [dx, dy, dz] = [zooms[0]!, zooms[1]!, qfac < 0 ? -zooms[2]! : zooms[2]!]
  return [
    (1 - s * (c * c + d * d)) * dx,
    s * (b * c - a * d) * dy,
    s * (b * d + a * c) * dz,
    x,
    s * (b * c + a * d) * dx,
    (1 - s * (b * b + d * d)) * dy,
    s * (c * d - a * b) * dz,
    y,
    s * (b * d - a * c) * dx,
    s * (c * d + a * b) * dy,
    (1 - s * (b * b + c * c)) * dz,
    z,
    0,
    0,
    0,
    1,
  ]
}

/** No patient space: centred, x mirrored, as nibabel's `get_base_affine`. */
function baseAffine(dims: readonly number[], zooms: readonly number[]): number[] {
  const [dx, dy, dz] = [-zooms[0]!, zooms[1]!, zooms[2]!]
  const centre = (axis: number, zoom: number): number => (-(dims[axis + 1]! - 1) / 2) * zoom
  return [dx, 0, 0, centre(0, dx), 0, dy, 0, centre(1, dy), 0, 0, dz, centre(2, dz), 0, 0, 0, 1]
}

function checkAffine(affine: readonly number[], raw: RawGeometry, path: string): void {
  const spacing = spacingOf(affine)
  const facts = { path, affine, pixdims: raw.pixdims, sformCode: raw.sformCode, qformCode: raw.qformCode }
  const found = `found ${spacing.map(length => +length.toPrecision(6)).join(' x ')}`
  const source = raw.sformCode > 0 ? 'sform' : raw.qformCode > 0 ? 'qform' : 'pixdim'
  if (!affine.every(Number.isFinite)) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected finite numbers in the ${source} of the header, ${found} mm; set the geometry again from the original scan`,
      facts,
    )
  }
  if (spacing.some(length => length < 1e-3 || length > 1e3)) {
    const units = spatialUnits[raw.units & 7] ?? 'unknown'
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected a spacing between 0.001 and 1000 mm, ${found} (from the ${source}, unit ${units}); lengths are taken as mm`,
      facts,
    )
  }
  if (!(Math.abs(determinant(affine)) > 1e-6 * spacing[0] * spacing[1] * spacing[2])) {
    throw new PipelineError(
      'ERR_VOLUME',
      `${path}: expected three independent axes in the ${source} of the header, found a singular affine`,
      facts,
    )
  }
}
