/** Little volumes and NIfTI files of any encoding, for tests. */

import { writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { residentVolume } from '../../imaging/volume.ts'
import type { Grid, Shape3, Volume } from '../../pipeline/grid.ts'

/** A grid along the world's axes. */
export function gridOf(
  shape: Shape3,
  spacing: readonly number[] = [1, 1, 1],
  origin: readonly number[] = [0, 0, 0],
): Grid {
  const [dx, dy, dz] = spacing as [number, number, number]
  const [x, y, z] = origin as [number, number, number]
  return { shape, affine: [dx, 0, 0, x, 0, dy, 0, y, 0, 0, dz, z, 0, 0, 0, 1] }
}

/** A resident volume whose voxels are a function of their index. */
export function volumeOf(grid: Grid, value: (x: number, y: number, z: number) => number): Volume {
  const [nx, ny, nz] = grid.shape
  const voxels = new Float32Array(nx * ny * nz)
  let at = 0
  for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) voxels[at++] = value(x, y, z)
  return residentVolume(grid, voxels)
}

/** The same volume as slabs of `planes` planes, as a file would give them; counts how often it is pulled to the end. */
export function inSlabs(volume: Volume, planes = 1): Volume & { ends: number } {
  const plane = volume.grid.shape[0] * volume.grid.shape[1]
  const streamed = {
    grid: volume.grid,
    ends: 0,
    async *slabs() {
      for (let z = 0; z < volume.grid.shape[2]; z += planes) {
        const count = Math.min(planes, volume.grid.shape[2] - z)
        yield { z, planes: count, voxels: volume.resident!.slice(z * plane, (z + count) * plane) }
      }
      streamed.ends++
    },
  }
  return streamed
}

export interface RawNifti {
  readonly version?: 1 | 2
  readonly bigEndian?: boolean
  /** dim[1..]; dim[0] is its length unless `rank` says otherwise. */
  readonly dims: readonly number[]
  readonly rank?: number
  readonly pixdims?: readonly number[]
  /** NIfTI's code and bits of a voxel. */
  readonly datatype: number
  readonly bits: number
  /** Stored bytes, in the file's order. */
  readonly voxels: Uint8Array
  readonly slope?: number
  readonly intercept?: number
  readonly sform?: { readonly code: number; readonly rows: readonly number[] }
  readonly qform?: { readonly code: number; readonly quatern: readonly number[]; readonly qfac?: number }
  readonly offset?: number
  readonly magic?: string
}

/** The bytes of a single-file NIfTI, field by field; independent of the product's writer. */
export function rawNifti(content: RawNifti): Buffer {
  const version = content.version ?? 1
  const little = !content.bigEndian
  const size = version === 1 ? 348 : 540
  const bytes = Buffer.alloc(size + 4)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const float = (at1: number, at2: number, i: number, value: number): void =>
    version === 1 ? view.setFloat32(at1 + 4 * i, value, little) : view.setFloat64(at2 + 8 * i, value, little)
  view.setInt32(0, size, little)
  const dims = [content.rank ?? content.dims.length, ...content.dims]
  dims.forEach((n, i) =>
    version === 1 ? view.setInt16(40 + 2 * i, n, little) : view.setBigInt64(16 + 8 * i, BigInt(n), little),
  )
  const pixdims = [content.qform?.qfac ?? 1, ...(content.pixdims ?? [1, 1, 1])]
  pixdims.forEach((length, i) => float(76, 104, i, length))
  view.setInt16(version === 1 ? 70 : 12, content.datatype, little)
  view.setInt16(version === 1 ? 72 : 14, content.bits, little)
  const offset = content.offset ?? size + 4
  if (version === 1) view.setFloat32(108, offset, little)
  else view.setBigInt64(168, BigInt(offset), little)
  float(112, 176, 0, content.slope ?? 1)
  float(112, 176, 1, content.intercept ?? 0)
  if (version === 1) {
    view.setInt16(252, content.qform?.code ?? 0, little)
    view.setInt16(254, content.sform?.code ?? 0, little)
  } else {
    view.setInt32(344, content.qform?.code ?? 0, little)
    view.setInt32(348, content.sform?.code ?? 0, little)
  }
  content.qform?.quatern.forEach((value, i) => float(256, 352, i, value))
  content.sform?.rows.forEach((value, i) => float(280, 400, i, value))
  bytes.write(content.magic ?? `n+${version}`, version === 1 ? 344 : 4, 'latin1')
  return Buffer.concat([bytes, content.voxels])
}

/** Little-endian int16 voxels. */
export function int16(...values: number[]): Uint8Array {
  return new Uint8Array(Int16Array.from(values).buffer)
}

/** Writes bytes, gzipped in `members` pieces where the name ends with .gz. */
export function writeBytes(path: string, bytes: Buffer, members = 1): string {
  const piece = Math.ceil(bytes.length / members)
  const pieces = Array.from({ length: members }, (_, i) => gzipSync(bytes.subarray(i * piece, (i + 1) * piece)))
  writeFileSync(path, path.endsWith('.gz') ? Buffer.concat(pieces) : bytes)
  return path
}
