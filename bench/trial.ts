/** What a benchmark is: data. A trial is a name, a unit and one repetition; a comparison puts trials of one run side by side. */

import type { Spread } from './statistics.ts'

/** Whom a figure of ours stands against. */
export type Against = 'monai-default' | 'pytorch-best' | 'onnxruntime' | 'pytorch' | 'pytorch-without-tf32'

export interface Trial {
  /** Slashes separate what, size, precision: `train-step/f8/224x224x32/float32`. */
  readonly name: string
  readonly unit: string
  readonly runs: number
  /** Set where the trial measures a peer, not us. */
  readonly against?: Against
  /** Why it cannot run here; undefined where it can. */
  readonly unavailable?: () => Promise<string | undefined>
  /** Once before the repetitions. Checks the result that is going to be timed. */
  readonly prepare?: () => Promise<void>
  /** One repetition: the figure in `unit`. The first is a warm-up and not counted. */
  readonly run: () => Promise<number>
  readonly close?: () => Promise<void>
  /** The process that does the work, where it is not this one; undefined where it lives for one repetition only. */
  readonly pid?: () => number | undefined
  /** What 100 % would be, in the same unit, measured beside the last repetition. */
  readonly peak?: () => number
  /**
   * Of what is counted as work the share that must be done. By custom a convolution's taps outside the volume are counted,
   * and all products of the plain sum where a faster algorithm has fewer. 1 where absent.
   */
  readonly necessary?: number
  /** Peak resident bytes of the whole process that did the work, after the repetitions. */
  readonly peakBytes?: () => Promise<number> | number
  /** What else is worth keeping of it: versions, the probe that was best. After the repetitions. */
  readonly facts?: () => Facts
}

export type Facts = Readonly<Record<string, string | number>>

/**
 * `scale` x (one of `of`) / `over`, round by round; of several in `of` the one with the lowest median counts. Of their peaks of
 * memory, which are one for all rounds, where `figure` says so.
 */
export interface Comparison {
  readonly name: string
  readonly unit: string
  readonly of: readonly string[]
  readonly over: string
  readonly scale?: number
  readonly figure?: 'peakBytes'
  readonly against?: Against
}

export interface Bench {
  readonly trials: readonly Trial[]
  readonly comparisons?: readonly Comparison[]
  /** A B C, A B C instead of A A, B B, C C: all trials are open at once. Comparisons need it. */
  readonly interleaved?: boolean
  /** After all trials, whatever became of them. */
  readonly close?: () => Promise<void>
}

/** Figures of a trial. */
export interface Measured extends Spread {
  readonly trial: string
  readonly unit: string
  readonly runs: number
  readonly values: readonly number[]
  readonly against?: Against
  readonly shareOfPeak?: Spread
  /** As the trial has it; shareOfPeak x necessary cannot be above 1. */
  readonly necessary?: number
  readonly peakBytes?: number
  /** Share of the processor time it wanted that it did not get, since others ran: the median repetition's. */
  readonly contention?: number
  /** Of all threads of the process that did the work, by repetition. */
  readonly processorSeconds?: readonly number[]
  readonly facts?: Facts
}

/** Figures of a comparison: pairwise ratios. */
export interface Compared extends Spread {
  readonly trial: string
  readonly unit: string
  readonly runs: number
  readonly values: readonly number[]
  readonly against?: Against
  /** The same ratio of processor time, which others disturb less; a thread that spins while it waits counts as working. */
  readonly ofProcessorTime?: Spread
  /** The trials that were compared, of and over. */
  readonly pair: readonly [string, string]
}

/** A trial that gave no figure, and why. */
export interface Missing {
  readonly trial: string
  readonly against?: Against
  readonly skipped?: string
  readonly failed?: string
}

export type Result = Measured | Compared | Missing

export function isMissing(result: Result): result is Missing {
  return !('values' in result)
}
