/**
 * The contract between the flow and its stages: what moves, and what every file in `stages/` exports. A leaf: types
 * only, nothing of NIfTI, tensors or files.
 */

import type Highland from 'highland'

/** Where voxels lie: `affine` is 4x4 row-major, voxel index (i, j, k) to millimetres in RAS+ (NIfTI's world). */
export interface Grid {
  /** Voxels along x, y, z. */
  readonly shape: Shape3
  readonly affine: readonly number[]
}

/** Extents along x, y, z. */
export type Shape3 = readonly [x: number, y: number, z: number]

/** Some consecutive z planes; `voxels` is (planes, y, x), x fastest. */
export interface Slab {
  readonly z: number
  readonly planes: number
  readonly voxels: Float32Array
  /**
   * There where the voxels belong to whoever pulled them: they may be overwritten, kept, or given back by calling this, after
   * which they are a later slab's. Without it they live on elsewhere and stay as they are.
   */
  readonly release?: () => void
}

/**
 * One scalar volume. Nothing is read until somebody pulls; pulling twice reads twice unless the voxels are `resident`.
 * Slabs come in ascending z, without gaps, and cover the grid.
 */
export interface Volume {
  readonly grid: Grid
  slabs(): AsyncIterable<Slab>
  /** All voxels (z, y, x), x fastest, where they are already in memory. Never written to by a stage. */
  readonly resident?: Float32Array
  /** The voxels (z, y, x) of a box inside the grid, where they can be had without pulling the rest; a new array. */
  readonly region?: (start: Shape3, shape: Shape3) => Promise<Float32Array>
}

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

/** What a spatial stage did to the image, so that a prediction can be brought back; replayed last to first. */
export type SpatialStep =
  | { readonly kind: 'orient'; readonly from: Grid; readonly to: Grid }
  | { readonly kind: 'resample'; readonly from: Grid; readonly to: Grid }
  | { readonly kind: 'crop'; readonly from: Grid; readonly start: Shape3; readonly to: Grid }
  | { readonly kind: 'pad'; readonly from: Grid; readonly before: Shape3; readonly to: Grid }

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

/** Bytes that live at once for a case. */
export interface Need {
  /** At most, from its first voxel to the end of its way. */
  readonly bytes: number
  /** At most, once a cache has made its volumes; they themselves are not among them. */
  readonly later: number
}

/** Bytes that are kept beside a case's volumes, readable in part. */
export interface Annex {
  readonly bytes: number
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Patches of equal shape, ready for the engine. Typed arrays lie in shared memory. */
export interface Batch {
  /** (N, z, y, x), one channel. */
  readonly image: Float32Array
  /** (N, z, y, x), class indices. */
  readonly label: Uint8Array
  readonly count: number
  readonly shape: Shape3
  readonly cases: readonly string[]
  /** Gives the arrays' memory back: nobody looks at them any more. Called by whoever is the last to use them, once. */
  readonly release?: () => void
}

/** What one training step told. */
export interface StepResult {
  readonly loss: number
  readonly patches: number
  /** Seconds inside the engine. */
  readonly seconds: number
  readonly cases: readonly string[]
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

/** A part of the run's memory that somebody holds. */
export interface Claim {
  readonly bytes: number
  /** Gives back what is beyond `bytes`. A claim never grows: who needs more has asked for too little. */
  shrinkTo(bytes: number): void
  /** Gives everything back; again, nothing happens. */
  release(): void
  /** Calls `work` at the release, or now where that has been. */
  whenReleased(work: () => void): void
}

/**
 * Who takes how much of the run's one limit. A case claims once, before its first voxel, all that it will need, and then
 * only gives back; claims are granted in the order in which they were made, so that nobody waits for a later one.
 */
export interface Ledger {
  readonly limitBytes: number
  /** Taken for as long as the run goes on: the engine, batches in flight. ERR_DEFINITION where it is not there. */
  reserve(what: string, bytes: number, cure: string): void
  /**
   * Waits for its turn and its room. `bytes` may still be on its way; those behind wait for it. Before others see the room as
   * taken, `granted` runs. Rejects with ERR_VOLUME where it could never be granted, with ERR_INTERRUPTED at the run's end.
   */
  claim(what: string, bytes: number | Promise<number>, granted?: () => void): Promise<Claim>
  /** Bytes that go as soon as somebody claims them; `evict` must give back at least so many, or all it has. */
  yielding(what: string, evict: (bytes: number) => void): Yielding
}

/** What a cache holds in the ledger. */
export interface Yielding {
  readonly bytes: number
  /** How many bytes could be taken now. */
  readonly room: number
  /** Takes bytes that nobody has; false, and nothing taken, where they are not there. */
  take(bytes: number): boolean
  give(bytes: number): void
}

/** When cases are wanted again, as far as the run knows. */
export interface Upcoming {
  /** How many cases from now this one is wanted again; Infinity for never, undefined where the run cannot tell. */
  nextUse(caseId: string): number | undefined
  /** The case is in use now: what was said of it from here on means the time after. */
  used(caseId: string): void
}

/**
 * What is known of a volume behind a stage before a voxel is read. Bytes are upper bounds, told as if each stage held the
 * slab that it was given and the one that it gives.
 */
export interface VolumePlan {
  /** The largest that it can be, where only voxels can tell. */
  readonly grid: Grid
  /** Whether the volume will have just this grid. */
  readonly isExact: boolean
  /**
   * What is to be had of it: slabs only, so that whoever wants a voxel pulls; boxes too; or all voxels, which lie in memory
   * as `resident`.
   */
  readonly access: 'slabs' | 'region' | 'resident'
  /** Bytes at work in the stages so far while it is pulled, the slab that arrives among them. */
  readonly pulling: number
  /** Bytes of the largest slab that arrives. */
  readonly slab: number
}

/** What is known of a case behind a stage before a voxel is read. */
export interface Plan {
  readonly flow: Flow
  /** As they leave the stage; a predicted mask is the `prediction`. */
  readonly volumes: { readonly [K in Key]?: VolumePlan }
  /** What the stages did to the image; a crop whose box only voxels can tell is the whole grid. */
  readonly steps: readonly SpatialStep[]
  /** How many items the case gives: its patches; else 1. */
  readonly items: number
  /** Extents of patches and batches. */
  readonly patch?: Shape3
  /** What the network will be shown of it, at most. */
  readonly windows?: { readonly shape: Shape3; readonly count: number }
  /** Bytes that lie in memory until the case has left the stages: what a cache gave it, a mask. */
  readonly resident: number
  /** Most bytes that live at once for this case in this stage or one before it. */
  readonly bytes: number
}

/** What a flow holds whatever the case: patches and batches on their way. */
export interface Standing {
  /** Extents of a patch, and how many a case gives. */
  readonly patch?: Shape3
  readonly patchesPerCase: number
  /** Patches in a batch. */
  readonly batch?: number
  readonly bytes: number
}

/** What an engine is going to be asked for; samples and windows are computed one by one, whatever comes together. */
export interface EngineWork {
  readonly step?: { readonly patch: Shape3; readonly batch: number }
  /** Extents of windows, in the order in which they come. */
  readonly windows: readonly Shape3[]
}

/** Where tensors live: typed arrays in and out, never tensors. Calls are served in order. */
export interface Engine {
  readonly info: EngineInfo
  /** One optimiser step on a batch. Rejects with ERR_ENGINE when the loss is not finite; the weights are then unchanged. */
  step(batch: Batch): Promise<StepResult>
  /** Logits (N, z, y, x, classes) of `count` windows (N, z, y, x), in `to`, where shared memory of that length is given. */
  infer(windows: Float32Array, count: number, shape: Shape3, to?: Float32Array): Promise<Float32Array>
  /** Weights, and with `optimizer` also the optimiser's state, by PyTorch's names and in its axis order. */
  save(options?: { optimizer?: boolean }): Promise<Tensors>
  load(tensors: Tensors): Promise<void>
  setLearningRate(learningRate: number): Promise<void>
  /**
   * Most bytes that the engine will hold for such work: weights and their optimiser's state, tensors and what is kept for the
   * next ones, memory that kernels work in, a sample's labels, a window's logits. Told before any of it is done, and nothing
   * is changed by it. The batches and windows that it is given are the caller's. An estimate on the `cpu` backend, whose
   * memory the garbage collector has. Rejects with ERR_DEFINITION for extents that cannot be.
   */
  need(work: EngineWork): Promise<number>
  close(): Promise<void>
}

export interface EngineInfo {
  readonly backend: string
  readonly precision: string
  readonly threads: number
  /** What computes: the processor's instruction set, or the adapter's name. */
  readonly device: string
  /** Why this backend was chosen, for people. */
  readonly reason: string
  readonly classes: number
  readonly parameters: number
}

/** Named float32 arrays with their shapes. */
export type Tensors = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>

/**
 * How random stages draw. `counter`: each draw is a function of seed, epoch, case and stage (`rng` in random.ts). `numpy`:
 * as MONAI does; each of its transforms has a generator whose state goes on from case to case and from epoch to epoch, so
 * draws must be made in the order of the cases, whatever else runs side by side.
 */
export type Random =
  | { readonly mode: 'counter' }
  | {
      readonly mode: 'numpy'
      /**
       * The seed of the next random transform of the Compose that the stages stand for. Stages ask in `create`, in the
       * order of their transforms; `transform` is MONAI's name of it, for people.
       */
      seedFor(transform: string): number
      /** Who has asked, in order. */
      readonly transforms: readonly string[]
    }

/** What the run lends its stages. */
export interface Context {
  readonly seed: number
  readonly random: Random
  readonly ledger: Ledger
  /** The order of what is to come, for whoever decides what to keep. */
  readonly upcoming: Upcoming
  /** The folder that the run fills. */
  readonly folder: string
  /** A folder on the same file system for what is unfinished; gone when the run ends. None in a rehearsal. */
  readonly scratch?: string
  /** Cases by id whose masks are still wanted when they have been compared; none without it. */
  readonly keepMasks?: ReadonlySet<string>
  /** SHA-256 of the file of weights that the engine has loaded, in hexadecimal digits. */
  readonly model?: string
  /** The engine; a bug where the task has no network. */
  engine(): Engine
  /** Aborted when the run is to end: stages that compute for long give up, with ERR_INTERRUPTED. */
  readonly signal: AbortSignal
  /** Counts for the summary, by name. */
  count(name: string, by?: number): void
  /** A line for people, once: a warning, what is done without. */
  note(text: string): void
  /** Calls `work` when the run is over, however it ends. Not in a rehearsal, which has no end. */
  atEnd?(work: () => void): void
}

/** A highland transform; what is lifted says how. */
export interface Transform {
  (source: Highland.Stream<Item>): Highland.Stream<Item>
  /** What it does to the stream, step by step, for people: "map", "ahead(2)". */
  readonly operators?: readonly string[]
}

/** What comes before a stage: the flow, and the options it is made of. */
export interface Upstream {
  readonly flow: Transform
  readonly stages: readonly { readonly kind: string }[]
}

/** Options as a user writes them: defaults may be left out, also inside; literal arrays are readonly. */
export type Example<T> = T extends readonly (infer Item)[]
  ? readonly Example<Item>[]
  : T extends object
    ? { readonly [Name in keyof T]?: Example<T[Name]> }
    : T

/** What every file in stages/ exports: the schema of its options, what it connects, and how to build it. */
export interface Stage<Options extends { kind: string }> {
  readonly schema: {
    readonly type: 'object'
    readonly description: string
    readonly properties: { readonly kind: { readonly const: Options['kind'] } }
    readonly examples: readonly Example<Options>[]
  }
  readonly takes: readonly Flow[]
  readonly gives: Flow
  /** True when the result depends on the epoch: everything before the first such stage may be cached. */
  readonly random?: boolean
  /** True when the stage decides itself whether what comes before it runs: `before.flow`. */
  readonly wraps?: boolean
  /** Options that name files or folders, as paths of names; relative ones are relative to the definition. */
  readonly paths?: readonly (readonly string[])[]
  /**
   * Checks what a schema cannot say and builds the transform. Called once per run, before any data flow. The transform
   * is applied once per epoch; what must outlive an epoch (a cache) is kept by the closure.
   */
  readonly create: (options: Options, context: Context, before: Upstream) => Transform
  /** What of a case leaves the stage, and how many bytes that takes. Without it: nothing changes. ERR_VOLUME where it cannot be. */
  readonly plan?: (options: Options, plan: Plan, facts: { readonly classes: number }) => Plan
  /** What the stage holds whatever the case. Without it: nothing. */
  readonly standing?: (options: Options, standing: Standing) => Standing
}
