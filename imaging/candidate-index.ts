/**
 * Where a case's lesion and background voxels are, as bytes that can be kept beside its volumes and asked without reading
 * a voxel: how many there are at each x, then a bit for each voxel. Candidates are numbered as MONAI's
 * `map_binary_to_indices` numbers them, x slowest and z fastest, so a candidate is found by one row of counts and one
 * plane of bits.
 *
 * Layout: foreground counts of x = 0, 1, ... (uint32, little endian), background counts, then for each x the plane of its
 * foreground bits (y, z), z fastest, filled up to whole bytes, then the background's.
 */

import { markCandidates } from '../native/voxels.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Annex } from '../pipeline/flow.ts'
import type { Shape3, Volume } from '../pipeline/grid.ts'
import { expectClasses } from './classes.ts'
import { sideBySide } from './volume.ts'

export type CandidateKind = 'foreground' | 'background'

/** The candidates of a case: foreground (label not 0) and background (not foreground, image above the threshold). */
export interface Candidates {
  readonly foreground: number
  readonly background: number
  /** The k-th voxel (x, y, z) of a kind, 0 <= k < its number. */
  find(kind: CandidateKind, k: number): Promise<Shape3>
}

/** Bytes of the index of a volume. */
export function candidateIndexBytes([nx, ny, nz]: Shape3): number {
  return 2 * nx * (4 + planeBytes(ny, nz))
}

/** Makes the index in one pass over both volumes, which have one shape. ERR_LABEL where the label holds no class below `classes`. */
export async function indexCandidates(
  label: Volume,
  image: Volume,
  { threshold, classes }: { readonly threshold: number; readonly classes: number },
): Promise<Uint8Array> {
  const [nx, ny, nz] = label.grid.shape
  const bytes = new Uint8Array(candidateIndexBytes(label.grid.shape))
  const bits = bytes.subarray(8 * nx)
  const counts = new Float64Array(2 * nx)
  for await (const {
    z,
    planes,
    voxels: [labels, voxels],
  } of sideBySide(label, image)) {
    const stray = await markCandidates(labels, voxels, { nx, ny, planes, z, nz, classes }, threshold, bits, counts)
    if (stray >= 0) expectClasses(labels.subarray(stray), classes)
  }
  const head = new DataView(bytes.buffer)
  counts.forEach((count, i) => head.setUint32(4 * i, count, true))
  return bytes
}

/** Opens an index of a volume of this shape; reads the counts. */
export async function openCandidates(annex: Annex, shape: Shape3): Promise<Candidates> {
  const [nx, ny, nz] = shape
  const expected = candidateIndexBytes(shape)
  if (annex.bytes !== expected)
    throw new PipelineError('ERR_FILE', `expected an index of ${expected} bytes, found ${annex.bytes}`)
  const head = await annex.read(0, 8 * nx)
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const all = Array.from({ length: 2 * nx }, (_, i) => view.getUint32(4 * i, true))
  const counts = { foreground: all.slice(0, nx), background: all.slice(nx) }
  const plane = planeBytes(ny, nz)
  const total = (kind: CandidateKind): number => counts[kind].reduce((sum, n) => sum + n, 0)
  return {
    foreground: total('foreground'),
    background: total('background'),
    async find(kind, k) {
      if (!(k >= 0 && k < total(kind)))
        throw new RangeError(`expected less than the number of ${kind} voxels, found ${k}`)
      let left = k
      let x = 0
      while (left >= counts[kind][x]!) left -= counts[kind][x++]!
      const offset = 8 * nx + (kind === 'foreground' ? 0 : nx * plane) + x * plane
      const bit = nthBit(await annex.read(offset, plane), left)
      return [x, Math.floor(bit / nz), bit % nz]
    },
  }
}

function planeBytes(ny: number, nz: number): number {
  return Math.ceil((ny * nz) / 8)
}

/** Index of the n-th bit that is set. */
function nthBit(bits: Uint8Array, n: number): number {
  let left = n
  for (let i = 0; i < bits.length; i++) {
    const set = bitsSet(bits[i]!)
    if (left >= set) {
      left -= set
      continue
    }
    for (let bit = 0; ; bit++) if ((bits[i]! >> bit) & 1 && left-- === 0) return i * 8 + bit
  }
  throw new Error('the index has fewer bits than it counts')
}

function bitsSet(byte: number): number {
  let count = 0
  for (let rest = byte; rest > 0; rest &= rest - 1) count += 1
  return count
}
