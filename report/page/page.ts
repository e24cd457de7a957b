/** Reports as pages: one file each, that needs nothing else. */

import type { Report } from '../../schemas/report.ts'

/** A plane of a case with the outlines of mask and reference. */
export interface Picture {
  readonly case: string
  readonly why: 'worst' | 'median'
  readonly png: Uint8Array
  readonly width: number
  readonly height: number
  /** What can be seen, for those who cannot. */
  readonly alt: string
  readonly caption: string
}

/** A case for the interactive viewer: NIfTI files (.nii.gz), cropped to what is worth a look. */
export interface ViewerCase {
  readonly case: string
  readonly scan: Uint8Array
  readonly prediction: Uint8Array
  readonly reference: Uint8Array
}

/** A training as its page shows it. */
export interface Training {
  readonly title: string
  readonly created: string
  /** For people: data set, network, engine, versions. */
  readonly facts: readonly (readonly [name: string, value: string])[]
  readonly epochs: readonly {
    readonly epoch: number
    readonly loss: number
    readonly learningRate: number
    readonly patchesPerSecond: number
    /** Mean Dice of the validation, in epochs that had one. */
    readonly dice?: number
  }[]
  readonly best?: { readonly epoch: number; readonly dice: number }
  readonly pictures: readonly Picture[]
}

export async function evaluationPage(
  _report: Report,
  _extras: { readonly pictures: readonly Picture[]; readonly viewer: readonly ViewerCase[] },
): Promise<string> {
  throw new Error('not there yet')
}

export async function trainingPage(_training: Training): Promise<string> {
  throw new Error('not there yet')
}
