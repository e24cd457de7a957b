/** The planes of a case that are worth a look, kept as runs until a page is made: small, or in a file that nobody sees. */

import type { KeptSlices, Mask, PlaneRuns } from '../pipeline/flow.ts'
import type { Grid, Shape3 } from '../pipeline/grid.ts'
import { mostRuns } from './components.ts'
import { decodeRuns, encodeRuns, paint, runBytes } from './mask.ts'
import { eachMeeting } from './meeting-runs.ts'
import { Spool } from './spool.ts'

/** Most bytes at work while a case's planes are chosen and kept. */
export function keySlicesBytes(shape: Shape3, classes: number): number {
  // Runs of both masks, as they are read, chosen and encoded.
  return 2 * 3 * runBytes * mostRuns(shape, classes)
}

/**
 * Planes along z in which a mask and its reference differ most, in which the reference is largest and in which the mask is:
 * of equal ones the first, each once, ascending; none where both are empty. Only `values` count; a voxel of different classes
 * in both differs twice.
 */
export async function keyPlanes(
  prediction: Mask,
  reference: Mask,
  values: ReadonlySet<number>,
  pause: () => Promise<void>,
): Promise<number[]> {
  const best = [
    { z: -1, voxels: 0 },
    { z: -1, voxels: 0 },
    { z: -1, voxels: 0 },
  ]
  for (let z = 0; z < reference.shape[2]; z++) {
    const [found, wanted] = [prediction.runs(z), reference.runs(z)]
    let both = 0
    eachMeeting(found, wanted, (i, j, voxels) => {
      if (found.value[i] === wanted.value[j] && values.has(found.value[i]!)) both += voxels
    })
    const [inFound, inWanted] = [voxelsOf(found, values), voxelsOf(wanted, values)]
    for (const [k, voxels] of [inFound + inWanted - 2 * both, inWanted, inFound].entries())
      if (voxels > best[k]!.voxels) best[k] = { z, voxels }
    await pause()
  }
  return [...new Set(best.map(({ z }) => z).filter(z => z >= 0))].toSorted((a, b) => a - b)
}

function voxelsOf({ from, to, value }: PlaneRuns, values: ReadonlySet<number>): number {
  let voxels = 0
  for (let i = 0; i < from.length; i++) if (values.has(value[i]!)) voxels += to[i]! - from[i]!
  return voxels
}

/** Where the bytes of a plane's runs lie. */
interface Piece {
  readonly at: number
  readonly length: number
}

/** Keeps key slices of any number of cases, and whole masks of some: a few megabytes in memory and the rest in `scratch`. */
export class KeySliceStore {
  readonly #spool: Spool
  #end = 0
  #isClosed = false

  constructor(scratch?: string) {
    this.#spool = new Spool(scratch)
  }

  /** The masks may be closed afterwards; what comes back can be asked for until the store is closed. */
  async keep(
    prediction: Mask,
    reference: Mask,
    { grid, values, pause }: { grid: Grid; values: ReadonlySet<number>; pause: () => Promise<void> },
  ): Promise<KeptSlices> {
    const kept = (await keyPlanes(prediction, reference, values, pause)).map(z => ({
      z,
      prediction: this.#append(chosen(prediction.runs(z), values)),
      reference: this.#append(chosen(reference.runs(z), values)),
    }))
    return {
      grid,
      bytes: kept.reduce((sum, { prediction, reference }) => sum + prediction.length + reference.length, 0),
      read: async () => ({
        grid,
        planes: kept.map(({ z, prediction, reference }) => ({
          z,
          prediction: this.#read(prediction),
          reference: this.#read(reference),
        })),
      }),
    }
  }

  /** All planes of a mask, of which only `values` stay; good for as long as the key slices. */
  async keepMask(
    { shape, runs }: Mask,
    { values, pause }: { values: ReadonlySet<number>; pause: () => Promise<void> },
  ): Promise<Mask> {
    const [nx, ny, nz] = shape
    const kept: Piece[] = []
    for (let z = 0; z < nz; z++) {
      kept.push(this.#append(chosen(runs(z), values)))
      await pause()
    }
    const keptRuns = (z: number): PlaneRuns => this.#read(kept[z]!)
    return {
      shape,
      runs: keptRuns,
      plane: (z, to = new Uint8Array(nx * ny)) => paint(keptRuns(z), to.fill(0)),
    }
  }

  /** Again, nothing happens. */
  close(): void {
    this.#isClosed = true
    this.#spool.close()
  }

  #append(runs: PlaneRuns): Piece {
    const bytes = encodeRuns(runs)
    const piece = { at: this.#end, length: bytes.length }
    // Nothing at all would share its place with what comes next.
    if (bytes.length > 0) this.#spool.append(bytes)
    this.#end += bytes.length
    return piece
  }

  #read({ at, length }: Piece): PlaneRuns {
    if (this.#isClosed) throw new Error('expected masks to be asked for before the next pass over the cases')
    return decodeRuns(this.#spool.read(at, length))
  }
}

/** Runs of these classes only. */
function chosen({ from, to, value }: PlaneRuns, values: ReadonlySet<number>): PlaneRuns {
  const isChosen = (_: number, i: number): boolean => values.has(value[i]!)
  return { from: from.filter(isChosen), to: to.filter(isChosen), value: value.filter(isChosen) }
}
