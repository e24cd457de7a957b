/**
 * Which lesions of a reference a mask has found, and which of its own are none: connected components of both, matched while
 * the planes pass, so that memory goes with the number of lesions and not with that of voxels.
 */

import { mostRuns, Sweep, sweepBytes, type PlaneLabels } from '../imaging/components.ts'
import { eachMeeting } from '../imaging/meeting-runs.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Mask, PlaneRuns } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'

export interface MatchingOptions {
  readonly classes: number
  /** Components of fewer voxels are background, in both masks. */
  readonly minVoxels: number
  /** Least IoU of two lesions that are a pair. */
  readonly iou: number
  /** Comes after each plane. */
  readonly pause: () => Promise<void>
}

/** Lesions of one class. */
export interface LesionMatches {
  readonly reference: number
  readonly predicted: number
  /** Lesions of the reference that share a voxel with a predicted one, and the other way round. */
  readonly referenceMet: number
  readonly predictedMet: number
  /**
   * Pairs of a reference's and a predicted lesion, each lesion in one at most: those of the highest IoU first; of equal ones
   * those whose reference's, then whose predicted lesion's first voxel comes first in the file.
   */
  readonly pairs: number
}

/** More lesions than anybody has; what has more is noise. */
export const mostLesions = 1 << 18

/** Most bytes that matching takes beside the masks. */
export function matchingBytes(shape: Shape3, classes: number): number {
  // Lesions that do not touch fill at least two voxels along each axis.
  const apart = shape.reduce((product, n) => product * Math.ceil(n / 2), 1)
  // Of a lesion what is known of it on either side; of a pair a row in two tables, and its place among the candidates.
  return 2 * sweepBytes(shape, mostRuns(shape, classes)) + Math.min(mostLesions, apart) * (2 * 32 + 2 * 48 + 40)
}

/**
 * Lesions are 26-connected components. By class, 0 to `classes` - 1; the background has none. ERR_LABEL where either mask has
 * more lesions than `mostLesions`.
 */
export async function matchLesions(
  prediction: Mask,
  reference: Mask,
  { classes, minVoxels, iou, pause }: MatchingOptions,
): Promise<LesionMatches[]> {
  const wanted = new Side('the reference', reference.shape, minVoxels)
  const found = new Side('the mask', prediction.shape, minVoxels)
  const table = new PairTable(wanted, found, iou)
  for (let z = 0; z < reference.shape[2]; z++) {
    table.next(wanted.next(z, reference.runs(z)), found.next(z, prediction.runs(z)))
    await pause()
  }
  table.end()
  const pairs = table.choose()
  return Array.from({ length: classes }, (_, value) => ({
    reference: wanted.count(value),
    predicted: found.count(value),
    referenceMet: wanted.countMet(value),
    predictedMet: found.countMet(value),
    pairs: pairs.filter(mark => wanted.value[mark] === value).length,
  }))
}

interface PlaneOfSide extends PlaneLabels {
  readonly runs: PlaneRuns
}

/** Mark of what is too small to be a lesion. */
const none = 0

/** The lesions of one mask that have ended, by their marks from 1. */
class Side {
  readonly voxels = [0]
  readonly value = [0]
  readonly first = [0]
  readonly isMet = [false]
  readonly #sweep: Sweep

  constructor(what: string, shape: Shape3, minVoxels: number) {
    this.#sweep = new Sweep(shape, 26, ({ value, voxels, first }) => {
      if (voxels < minVoxels) return none
      if (this.voxels.length > mostLesions) throw tooMany(what, minVoxels)
      this.value.push(value)
      this.first.push(first)
      this.isMet.push(false)
      return this.voxels.push(voxels) - 1
    })
  }

  next(z: number, runs: PlaneRuns): PlaneOfSide {
    return { ...this.#sweep.next(z, runs), runs }
  }

  end(): Int32Array {
    return this.#sweep.end()
  }

  count(value: number): number {
    return this.value.filter((each, mark) => mark !== none && each === value).length
  }

  countMet(value: number): number {
    return this.value.filter((each, mark) => this.isMet[mark] && each === value).length
  }
}

/**
 * A component as a number: its mark where it has ended, else its label in the plane at hand and this. Two of them make a key
 * below 2^53.
 */
const active = mostLesions + 1
const perNode = 2 ** 26

/** Voxels that components of the reference and of the mask share, for those pairs of which one may still grow. */
class PairTable {
  readonly #wanted: Side
  readonly #found: Side
  readonly #iou: number
  #shared = new Map<number, number>()
  /** Pairs of which both have ended, with enough in common. */
  readonly #candidates: { readonly wanted: number; readonly found: number; readonly iou: number }[] = []

  constructor(wanted: Side, found: Side, iou: number) {
    this.#wanted = wanted
    this.#found = found
    this.#iou = iou
  }

  next(wanted: PlaneOfSide, found: PlaneOfSide): void {
    this.#follow(wanted.links, found.links)
    eachMeeting(wanted.runs, found.runs, (i, j, voxels) => {
      if (wanted.runs.value[i] !== found.runs.value[j]) return
      this.#add(active + wanted.labels[i]!, active + found.labels[j]!, voxels)
    })
  }

  end(): void {
    this.#follow(this.#wanted.end(), this.#found.end())
  }

  /** The reference's lesions of the pairs, by their marks. */
  choose(): number[] {
    const [ofWanted, ofFound] = [this.#wanted.first, this.#found.first]
    this.#candidates.sort(
      (a, b) => b.iou - a.iou || ofWanted[a.wanted]! - ofWanted[b.wanted]! || ofFound[a.found]! - ofFound[b.found]!,
    )
    const [wantedTaken, foundTaken] = [new Set<number>(), new Set<number>()]
    for (const { wanted, found } of this.#candidates) {
      if (wantedTaken.has(wanted) || foundTaken.has(found)) continue
      wantedTaken.add(wanted)
      foundTaken.add(found)
    }
    return [...wantedTaken]
  }

  /** From the components of the plane before to those of the next one. */
  #follow(wantedLinks: Int32Array, foundLinks: Int32Array): void {
    const before = this.#shared
    if (before.size === 0) return
    this.#shared = new Map()
    for (const [key, voxels] of before) {
      const wanted = followed(Math.floor(key / perNode), wantedLinks)
      const found = followed(key % perNode, foundLinks)
      if (wanted === none || found === none) continue
      if (wanted < active && found < active) this.#settle(wanted, found, voxels)
      else this.#add(wanted, found, voxels)
    }
  }

  #add(wanted: number, found: number, voxels: number): void {
    const key = wanted * perNode + found
    this.#shared.set(key, (this.#shared.get(key) ?? 0) + voxels)
    if (this.#shared.size > mostLesions) throw tooMany('the mask with its reference', undefined)
  }

  #settle(wanted: number, found: number, voxels: number): void {
    this.#wanted.isMet[wanted] = true
    this.#found.isMet[found] = true
    const iou = voxels / (this.#wanted.voxels[wanted]! + this.#found.voxels[found]! - voxels)
    if (iou < this.#iou) return
    if (this.#candidates.length === mostLesions) throw tooMany('the mask with its reference', undefined)
    this.#candidates.push({ wanted, found, iou })
  }
}

/** Where a component of the plane before has gone; its mark where it has ended. */
function followed(node: number, links: Int32Array): number {
  if (node < active) return node
  const link = links[node - active]!
  return link < 0 ? ~link : link + active
}

function tooMany(what: string, minVoxels: number | undefined): PipelineError {
  return new PipelineError(
    'ERR_LABEL',
    `${what} falls into more than ${mostLesions} lesions${minVoxels === undefined ? '' : ` of at least ${minVoxels} voxels`}, which is noise; raise "minVoxels" of "lesions", or leave lesions out with "lesions": false`,
    { mostLesions },
  )
}

/**
 * Shares of the lesions by name. Where a share has no lesions to be one of: null by the `monai` rule, whose F1 is also null
 * wherever the reference has none; by the `strict` rule 1 where neither mask has any, else 0.
 */
export function lesionMetrics(
  { reference, predicted, referenceMet, predictedMet, pairs }: LesionMatches,
  emptyRule: 'strict' | 'monai',
): Record<string, number | null> {
  const shares = (found: number, right: number): readonly (number | null)[] => {
    const without = emptyRule === 'monai' ? null : reference + predicted === 0 ? 1 : 0
    const [sensitivity, precision] = [share(found, reference), share(right, predicted)]
    const isLeftOut = reference + predicted === 0 || (emptyRule === 'monai' && reference === 0)
    const [s, p] = [sensitivity ?? 0, precision ?? 0]
    const f1 = isLeftOut ? without : s + p > 0 ? (2 * s * p) / (s + p) : 0
    return [sensitivity ?? without, precision ?? without, f1]
  }
  const [sensitivity, precision, f1] = shares(referenceMet, predictedMet)
  const [sensitivityIou, precisionIou, f1Iou] = shares(pairs, pairs)
  return {
    lesions: reference,
    predictedLesions: predicted,
    lesionSensitivity: sensitivity!,
    lesionPrecision: precision!,
    lesionF1: f1!,
    lesionSensitivityIou: sensitivityIou!,
    lesionPrecisionIou: precisionIou!,
    lesionF1Iou: f1Iou!,
  }
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}
