/** What flows from stage to stage. A leaf: types only. */

import type { Claim, Need } from './claims.ts'
import type { Batch, StepResult } from './engine.ts'
import type { Grid, Shape3, SpatialStep, Volume } from './grid.ts'

/** One scan of the data set, as listed; files are absolute paths, and so are folders of DICOM slices. */
export interface Case {
  /** Unique in its data set, usable as a relative path: the image's path without its ending. */
  readonly id: string
  /** Position in the data set, the coordinate of its random draws. */
  readonly index: number
  readonly image?: string
  readonly label?: string
  /** A mask to be evaluated. */
  readonly prediction?: string
  /** There is no such mask: it counts as an empty one. */
  readonly isMissing?: boolean
  /** A mask of the lungs, to say on which side lesions lie. */
  readonly lungs?: string
  /** Why the case cannot be used, in words: it fails when it is loaded, alone. */
  readonly problem?: string
  /** What else the data list says of it, such as where it comes from: strata of a report. */
  readonly fields?: Readonly<Record<string, string>>
}

/** Which of a sample's volumes a stage works on. */
export type Key = 'image' | 'label' | 'prediction' | 'lungs'

/** A case on its way: its volumes, what was done to them and what was drawn for it. Stages return new ones. */
export interface Sample {
  readonly case: Case
  readonly epoch: number
  readonly image?: Volume
  readonly label?: Volume
  readonly prediction?: Volume
  readonly lungs?: Volume
  /** The image as it was loaded, whatever became of it since. */
  readonly scan?: Volume
  readonly steps: readonly SpatialStep[]
  /** Which of the case's crops this is. */
  readonly patch: number
  /** Parameters drawn by random stages, by stage kind; kept so that they can be printed and replayed. */
  readonly draws: Readonly<Record<string, unknown>>
  /** What the case will take on its way through the whole flow, told from headers alone. */
  readonly need?: () => Promise<Need>
  /** The part of the run's memory that the case holds; whoever is the last to use its volumes releases it. */
  readonly claim?: Claim
  /**
   * What a stage has derived from the volumes, kept beside them where they are kept; `make` runs where it is not there yet.
   * `name` says what it is and with which options it was made. Whoever changes a volume leaves it out.
   */
  readonly annex?: (name: string, make: () => Promise<Uint8Array>) => Promise<Annex>
}

/** Bytes that are kept beside a case's volumes, readable in part. */
export interface Annex {
  readonly bytes: number
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Class indices of a whole grid, small where little of it is not 0; read plane by plane, in any order, as often as wanted. */
export interface Mask {
  readonly shape: Shape3
  /** Plane z (y, x), x fastest: in `to`, or a new array. */
  plane(z: number, to?: Uint8Array): Uint8Array
  /** What is not 0 in plane z. */
  runs(z: number): PlaneRuns
}

/** Voxels of a plane that follow each other in a row with one class that is not 0; ascending. */
export interface PlaneRuns {
  /** First voxel of each run, as y * nx + x, and the one after its last, which lies in the same row or ends it. */
  readonly from: Uint32Array
  readonly to: Uint32Array
  readonly value: Uint8Array
}

/** A mask on `grid`, as predicted for a case. */
export interface Prediction {
  readonly case: Case
  readonly grid: Grid
  /** Good until the claim is released. */
  readonly mask: Mask
  /** Of the network; the mask holds 0 to classes - 1. */
  readonly classes: number
  /** The reference, where the case has one; its grid is `grid` or the metric refuses. */
  readonly label?: Volume
  /** A mask of the lungs, where the case has one, on a grid of its own. */
  readonly lungs?: Volume
  /** The scan as it was loaded, where the mask lies on its grid. */
  readonly scan?: Volume
  /** The scan's own header bytes, where it is known; the saved mask takes its geometry from there. */
  readonly header?: Uint8Array
  readonly windows: number
  readonly seconds: number
  /** Files that were written for it, relative to the run's folder. */
  readonly files: readonly string[]
  /** As the sample's. */
  readonly claim?: Claim
}

/** Metrics of one case; `null` where the metric is not defined (says the metric's rule); a distance may be infinite. */
export interface Score {
  readonly case: Case
  readonly metrics: Readonly<Record<string, number | null>>
  /** By MONAI's rule for empty masks, those metrics whose value depends on the rule. */
  readonly monai?: Readonly<Record<string, number | null>>
  /** The same metrics by the strict rule. */
  readonly strict?: Readonly<Record<string, number | null>>
  /** There was no mask: it counts as an empty one. */
  readonly isMissing?: boolean
  /** What a page shows of the case. Good until the stage begins another pass over cases, or the run is over. */
  readonly slices?: KeptSlices
  /** Both masks as they were compared, where `Context.keepMasks` names the case; good for as long as `slices`. */
  readonly masks?: ComparedMasks
}

/** Key slices that were put aside: in memory, or in a file where they are large. */
export interface KeptSlices {
  readonly grid: Grid
  /** That they take once they are read. */
  readonly bytes: number
  /** Reads them, again each time. */
  read(): Promise<KeySlices>
}

/** A mask and its reference on one grid; of their classes those that were compared. */
export interface ComparedMasks {
  readonly grid: Grid
  readonly prediction: Mask
  readonly reference: Mask
}

/** Planes in which a mask and its reference are worth a look, on `grid`; ascending z. None where both are empty. */
export interface KeySlices {
  readonly grid: Grid
  readonly planes: readonly {
    readonly z: number
    readonly prediction: PlaneRuns
    readonly reference: PlaneRuns
  }[]
}

/** Everything that may flow, by name; a stage says what it takes and what it gives. */
export interface Flows {
  readonly case: Sample
  readonly volume: Sample
  readonly patch: Sample
  readonly batch: Batch
  readonly step: StepResult
  readonly prediction: Prediction
  readonly score: Score
}
export type Flow = keyof Flows
export type Item = Flows[Flow]
