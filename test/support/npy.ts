/** Reads numpy's .npy files (format 1.0 and 2.0, little-endian, C order) and turns their axes into ours. */

import { readFileSync } from 'node:fs'

export interface NpyArray {
  readonly shape: readonly number[]
  /** C order: the last axis is fastest. */
  readonly data: Float32Array | Float64Array | Uint8Array | BigInt64Array
}

/** A whole file in memory; an Error for what tests do not need (other types, Fortran order). */
export function readNpy(path: string): NpyArray {
  const bytes = readFileSync(path)
  if (bytes.toString('latin1', 1, 6) !== 'NUMPY') throw new Error(`${path}: expected a .npy file`)
  const [start, length] = bytes[6] === 1 ? [10, bytes.readUInt16LE(8)] : [12, bytes.readUInt32LE(8)]
  const header = bytes.toString('latin1', start, start + length)
  const descr = /'descr': '([^']+)'/.exec(header)?.[1]
  const shape = /'shape': \(([^)]*)\)/
    .exec(header)![1]!
    .split(',')
    .filter(text => text.trim() !== '')
    .map(Number)
  if (!header.includes("'fortran_order': False")) throw new Error(`${path}: expected C order`)
  // A copy: the voxels need not begin at a multiple of their width.
  const { buffer } = Uint8Array.from(bytes.subarray(start + length))
  if (descr === '<f4') return { shape, data: new Float32Array(buffer) }
  if (descr === '<f8') return { shape, data: new Float64Array(buffer) }
  if (descr === '|u1' || descr === '|b1') return { shape, data: new Uint8Array(buffer) }
  if (descr === '<i8') return { shape, data: new BigInt64Array(buffer) }
  throw new Error(`${path}: expected f4, f8, u1, b1 or i8, found ${descr}`)
}

/** The last three axes (x, y, z; z fastest) as ours (z, y, x; x fastest), for one channel of an array (..., x, y, z). */
export function toVolume(
  { shape, data }: NpyArray,
  channel = 0,
): { shape: [number, number, number]; voxels: Float32Array } {
  const [nx, ny, nz] = shape.slice(-3) as [number, number, number]
  const voxels = new Float32Array(nx * ny * nz)
  let at = channel * voxels.length
  for (let x = 0; x < nx; x++) {
    for (let y = 0; y < ny; y++) for (let z = 0; z < nz; z++) voxels[(z * ny + y) * nx + x] = Number(data[at++])
  }
  return { shape: [nx, ny, nz], voxels }
}
