/**
 * The contract between the flow and its stages: what the run lends them, and what every file in `stages/` exports. Types
 * only, nothing of NIfTI, tensors or files, as in the leaves that it builds on.
 */

import type Highland from 'highland'
import type { Ledger, Upcoming } from './claims.ts'
import type { Engine } from './engine.ts'
import type { Flow, Item } from './flow.ts'
import type { Plan, Standing } from './planned.ts'

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
