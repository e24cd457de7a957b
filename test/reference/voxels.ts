/** The voxel loops of native/voxels.ts in TypeScript, one value after the other: the same bits. */

import type { CandidatePlanes, ClipOptions, Ends, StoredType } from '../../native/voxels.ts'

/** Values of stored bytes in `littleEndian` or the other order. */
export function decoded(
  bytes: Uint8Array,
  type: StoredType,
  littleEndian: boolean,
  slope: number,
  intercept: number,
): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const width = { 8: 1, 16: 2, 32: 4, 64: 8 }[Number(/\d+/.exec(type)![0]) as 8]
  const raw = Float64Array.from({ length: bytes.length / width }, (_, i) => {
    const at = i * width
    switch (type) {
      case 'uint8':
        return view.getUint8(at)
      case 'int8':
        return view.getInt8(at)
      case 'int16':
        return view.getInt16(at, littleEndian)
      case 'uint16':
        return view.getUint16(at, littleEndian)
      case 'int32':
        return view.getInt32(at, littleEndian)
      case 'uint32':
        return view.getUint32(at, littleEndian)
      case 'int64':
        return Number(view.getBigInt64(at, littleEndian))
      case 'uint64':
        return Number(view.getBigUint64(at, littleEndian))
      case 'float32':
        return view.getFloat32(at, littleEndian)
      case 'float64':
        return view.getFloat64(at, littleEndian)
    }
  })
  if (slope === 1 && intercept === 0) return new Float32Array(raw)
  return Float32Array.from(raw, value => value * slope + intercept)
}

export function clipped(voxels: Float32Array, { min, max, to }: ClipOptions): Float32Array {
  const { fround } = Math
  const low = fround(min)
  const range = fround(max - min)
  const [from, until] = [fround(to[0]), fround(to[1])]
  const scale = fround(to[1] - to[0])
  const result = new Float32Array(voxels.length)
  for (let i = 0; i < voxels.length; i++) {
    const value = fround(fround(fround(fround(voxels[i]! - low) / range) * scale) + from)
    result[i] = value < from ? from : value > until ? until : value
  }
  return result
}

/** Up to the first value without a class, whose index comes with it; -1 where each has one. */
export function mapped(voxels: Float32Array, table: ReadonlyMap<number, number>): { first: number; to: Float32Array } {
  const classes = new Float32Array(voxels.length)
  for (let i = 0; i < voxels.length; i++) {
    const index = table.get(voxels[i]!)
    if (index === undefined) return { first: i, to: classes.subarray(0, i) }
    classes[i] = index
  }
  return { first: -1, to: classes }
}

export function boxAbove(
  voxels: Float32Array,
  [nx, ny, nz]: readonly [number, number, number],
  threshold: number,
): Ends | undefined {
  const low: [number, number, number] = [nx, ny, nz]
  const high: [number, number, number] = [-1, -1, -1]
  voxels.forEach((value, i) => {
    if (!(value > threshold)) return
    const at = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
    at.forEach((n, axis) => {
      low[axis] = Math.min(low[axis]!, n)
      high[axis] = Math.max(high[axis]!, n)
    })
  })
  return high[0] < 0 ? undefined : { low, high }
}

export function candidateMarks(
  label: Float32Array,
  image: Float32Array,
  { nx, ny, z, nz, classes }: CandidatePlanes,
  threshold: number,
): { first: number; bits: Uint8Array; counts: Float64Array } {
  const plane = Math.ceil((ny * nz) / 8)
  const marks = { first: -1, bits: new Uint8Array(2 * nx * plane), counts: new Float64Array(2 * nx) }
  marks.first = label.findIndex((value, i) => {
    if (!(value >= 0 && value < classes && Number.isInteger(value))) return true
    const kind = value !== 0 ? 0 : image[i]! > threshold ? 1 : undefined
    if (kind === undefined) return false
    const x = i % nx
    const bit = (Math.floor(i / nx) % ny) * nz + z + Math.floor(i / (nx * ny))
    marks.counts[kind * nx + x]!++
    marks.bits[(kind * nx + x) * plane + (bit >> 3)]! |= 1 << (bit & 7)
    return false
  })
  return marks
}
