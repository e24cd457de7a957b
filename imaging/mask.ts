/**
 * Masks as the runs of what is not background. A lesion's mask takes some kilobytes where its voxels take a hundred megabytes;
 * one that is mostly noise goes to a file.
 */

import type { Mask, PlaneRuns } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { residentSpoolBytes, Spool } from './spool.ts'

/** A mask that somebody must close: it may have a file. */
export interface OwnedMask extends Mask {
  /** Again, nothing happens. */
  close(): void
}

/** Most bytes that a mask and its builder hold while planes go in or out. */
export function maskBytes([nx, ny, nz]: Shape3): number {
  // Full when a plane comes that is as large as its voxels; then runs of a plane are counted, made and encoded.
  return Math.min(nx * ny * nz, residentSpoolBytes + nx * ny) + 12 * nx * ny
}

/** Bytes of a run: its first voxel and its end, both uint32, and its value, each after those of all runs of a plane. */
export const runBytes = 9

/** A plane as masks keep it: its runs, or its voxels where those take fewer bytes. */
export interface StoredPlane {
  readonly bytes: Uint8Array
  readonly isPacked: boolean
}

/**
 * Takes planes (y, x) in ascending z and makes a mask of them. What is more than a few megabytes goes to a nameless file in
 * `scratch`, where there is one. ERR_OUTPUT where it cannot be written.
 */
export class MaskBuilder {
  readonly #shape: Shape3
  readonly #store: Spool
  /** Where each plane begins; the last entry is the end. */
  readonly #offsets = [0]
  readonly #isPacked: boolean[] = []

  constructor(shape: Shape3, scratch?: string) {
    this.#shape = shape
    this.#store = new Spool(scratch)
  }

  /** Copies the plane. */
  append(plane: Uint8Array | StoredPlane): void {
    const [nx, ny] = this.#shape
    const { bytes, isPacked } = plane instanceof Uint8Array ? storedOf(plane, nx) : plane
    const size = plane instanceof Uint8Array ? plane.length : isPacked ? bytes.length : nx * ny
    if (size !== nx * ny) throw new Error(`expected a plane of ${nx * ny} voxels, found ${size}`)
    this.#store.append(bytes.slice())
    this.#offsets.push(this.#offsets.at(-1)! + bytes.length)
    this.#isPacked.push(isPacked)
  }

  /** The mask; nothing may be appended after it. */
  finish(): OwnedMask {
    const [shape, store, offsets, isPacked] = [this.#shape, this.#store, this.#offsets, this.#isPacked]
    const [nx, ny, nz] = shape
    if (isPacked.length !== nz) throw new Error(`expected ${nz} planes, found ${isPacked.length}`)
    const stored = (z: number): Uint8Array => {
      if (!(z >= 0 && z < nz)) throw new RangeError(`expected a plane from 0 to ${nz - 1}, found ${z}`)
      return store.read(offsets[z]!, offsets[z + 1]! - offsets[z]!)
    }
    return {
      shape,
      plane(z, to = new Uint8Array(nx * ny)) {
        const bytes = stored(z)
        if (!isPacked[z]) return paint(decodeRuns(bytes), to.fill(0))
        to.set(bytes)
        return to
      },
      runs(z) {
        const bytes = stored(z)
        return isPacked[z] ? runsOf(bytes, nx, countRuns(bytes, nx)) : decodeRuns(bytes)
      },
      close: () => store.close(),
    }
  }

  /** Gives up. */
  close(): void {
    this.#store.close()
  }
}

/** How a mask is made beside other work. */
export interface MaskMaking {
  /** As `MaskBuilder`'s. */
  readonly scratch?: string | undefined
  /** Comes after each plane: lets others in, and rejects where the work is no longer wanted. */
  readonly pause: () => Promise<void>
}

/** A mask of its planes (y, x) in ascending z, each good until the next; nothing is left of it where they fail. */
export async function maskOfPlanes(
  shape: Shape3,
  planes: Iterable<Uint8Array> | AsyncIterable<Uint8Array | StoredPlane>,
  { scratch, pause }: MaskMaking,
): Promise<OwnedMask> {
  const builder = new MaskBuilder(shape, scratch)
  try {
    for await (const plane of planes) {
      builder.append(plane)
      await pause()
    }
    return builder.finish()
  } catch (error) {
    builder.close()
    throw error
  }
}

/** A mask of voxels (z, y, x) that are in memory. */
export function maskOf(shape: Shape3, voxels: Uint8Array): OwnedMask {
  const builder = new MaskBuilder(shape)
  const plane = shape[0] * shape[1]
  for (let z = 0; z < shape[2]; z++) builder.append(voxels.subarray(z * plane, (z + 1) * plane))
  return builder.finish()
}

/** All voxels (z, y, x); a new array. */
export function maskVoxels({ shape, runs }: Mask): Uint8Array {
  const [nx, ny, nz] = shape
  const voxels = new Uint8Array(nx * ny * nz)
  for (let z = 0; z < nz; z++) paint(runs(z), voxels.subarray(z * nx * ny, (z + 1) * nx * ny))
  return voxels
}

/** Writes runs into a plane (y, x) and gives it back. */
export function paint({ from, to, value }: PlaneRuns, plane: Uint8Array): Uint8Array {
  for (let i = 0; i < from.length; i++) plane.fill(value[i]!, from[i], to[i])
  return plane
}

function storedOf(plane: Uint8Array, nx: number): StoredPlane {
  const count = countRuns(plane, nx)
  const isPacked = count * runBytes > plane.length
  return { bytes: isPacked ? plane : encodeRuns(runsOf(plane, nx, count)), isPacked }
}

function countRuns(plane: Uint8Array, nx: number): number {
  let count = 0
  eachRun(plane, nx, () => count++)
  return count
}

function runsOf(plane: Uint8Array, nx: number, count: number): PlaneRuns {
  const [from, to, value] = [new Uint32Array(count), new Uint32Array(count), new Uint8Array(count)]
  let i = 0
  eachRun(plane, nx, (first, end) => {
    from[i] = first
    to[i] = end
    value[i++] = plane[first]!
  })
  return { from, to, value }
}

/** Most of a plane is background: four voxels at a time are passed over. */
function eachRun(plane: Uint8Array, nx: number, found: (from: number, to: number) => void): void {
  const { buffer, byteOffset, length } = plane
  const words = byteOffset % 4 === 0 ? new Int32Array(buffer, byteOffset, length >> 2) : noWords
  for (let at = 0; at < length;) {
    if ((at & 3) === 0) {
      let word = at >> 2
      while (word < words.length && words[word] === 0) word++
      at = Math.max(at, word << 2)
    }
    const value = plane[at]
    if (!value) at++
    else {
      const from = at
      const end = at - (at % nx) + nx
      while (at < end && plane[at] === value) at++
      found(from, at)
    }
  }
}

const noWords = new Int32Array(0)

/** Runs as bytes. */
export function encodeRuns({ from, to, value }: PlaneRuns): Uint8Array {
  const n = from.length
  const bytes = new Uint8Array(runBytes * n)
  new Uint32Array(bytes.buffer, 0, n).set(from)
  new Uint32Array(bytes.buffer, 4 * n, n).set(to)
  bytes.set(value, 8 * n)
  return bytes
}

/** The runs again; views of the bytes where they lie well. */
export function decodeRuns(bytes: Uint8Array): PlaneRuns {
  const n = bytes.length / runBytes
  // A copy where the bytes do not lie on a boundary of four.
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return {
    from: new Uint32Array(buffer, byteOffset, n),
    to: new Uint32Array(buffer, byteOffset + 4 * n, n),
    value: new Uint8Array(buffer, byteOffset + 8 * n, n),
  }
}
