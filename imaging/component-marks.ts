/**
 * Marks for every run of a mask by what its whole component is like. Going up through the planes nobody knows yet how large a
 * component becomes: so one pass goes down, and puts its labels aside, and a second one goes up, from the ends of the components.
 */

import type { PlaneRuns } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { Sweep, sweepBytes, type Component, type Connectivity, type Mark } from './components.ts'
import type { MaskMaking } from './mask.ts'
import { residentSpoolBytes, Spool } from './spool.ts'

/** Labels are put aside in `scratch`, or kept in memory without one. */
export interface MarkOptions extends MaskMaking {
  readonly connectivity: Connectivity
  /** The mark of a component that is whole. They come in no order; two with one mark cannot be told apart afterwards. */
  readonly mark: (component: Component) => Mark
}

/** Most bytes that marks take for planes of at most so many runs: the sweep, what is put aside, a plane's labels and marks. */
export function marksBytes(shape: Shape3, runs: number): number {
  return sweepBytes(shape, runs) + 2 * residentSpoolBytes + 2 * 8 * runs
}

/** What the components of a mask were marked with, plane by plane, in any order of planes but cheap from 0 up. */
export class ComponentMarks {
  readonly #spool: Spool
  /** By plane, from the last one down: where its labels begin, and how many there are. */
  readonly #pieces: readonly Piece[]
  /** Links of the components of plane 0: all have ended. */
  readonly #ends: Int32Array

  private constructor(spool: Spool, pieces: readonly Piece[], ends: Int32Array) {
    this.#spool = spool
    this.#pieces = pieces
    this.#ends = ends
  }

  /** Marks the components of the runs that `runsOf` gives, which is asked once for each plane. */
  static async of(
    shape: Shape3,
    runsOf: (z: number) => PlaneRuns,
    { connectivity, mark, scratch, pause }: MarkOptions,
  ): Promise<ComponentMarks> {
    const spool = new Spool(scratch)
    try {
      const sweep = new Sweep(shape, connectivity, mark)
      const pieces: Piece[] = Array.from({ length: shape[2] })
      let at = 0
      for (let z = shape[2] - 1; z >= 0; z--) {
        const { labels, links } = sweep.next(z, runsOf(z))
        const bytes = new Uint8Array(4 * (labels.length + links.length))
        new Uint32Array(bytes.buffer, 0, labels.length).set(labels)
        new Int32Array(bytes.buffer, 4 * labels.length).set(links)
        pieces[z] = { at, labels: labels.length, links: links.length }
        spool.append(bytes)
        at += bytes.length
        await pause()
      }
      return new ComponentMarks(spool, pieces, sweep.end())
    } catch (error) {
      spool.close()
      throw error
    }
  }

  /** For each plane from 0 up the marks of its runs, in their order. */
  *planes(): Generator<Uint32Array> {
    // Marks of the components of the plane, then of the one above it.
    let marks = Uint32Array.from(this.#ends, link => ~link)
    for (const { at, labels: runs, links } of this.#pieces) {
      const { buffer, byteOffset } = this.#spool.read(at, 4 * (runs + links))
      const labels = new Uint32Array(buffer, byteOffset, runs)
      const above = new Int32Array(buffer, byteOffset + 4 * runs, links)
      const below = marks
      yield Uint32Array.from(labels, label => below[label]!)
      marks = Uint32Array.from(above, link => (link < 0 ? ~link : below[link]!))
    }
  }

  close(): void {
    this.#spool.close()
  }
}

interface Piece {
  readonly at: number
  readonly labels: number
  readonly links: number
}
