/** A check of parity is data: what it is about, how far the numbers may be apart, and how to find out. */

import { maxDifference } from '../numbers.ts'
import type { References } from './references.ts'

/** How far ours are from the reference. */
export interface Measured {
  /** The largest difference, in the check's unit; Infinity where shapes differ or a value is not a number. */
  readonly difference: number
  /** What was compared, or how many of them differ: `12 volumes`, `3 of 1048576 voxels`. */
  readonly count?: string
}

export interface Check {
  /** A step of the chain, as the specification's sections have it; several checks may belong to one. */
  readonly step: string
  /** What is compared. */
  readonly quantity: string
  readonly unit: string
  /** The largest difference that is still parity; 0 for what must be equal. */
  readonly tolerance: number
  /** For what few references have: nothing is missing where none has it. */
  readonly rare?: boolean
  /** Compares with one set of references; undefined where the set has none for this check. */
  readonly run: (references: References) => Promise<Measured | undefined>
}

/** A check with what it found in one set of references. */
export interface Finding extends Measured {
  readonly check: Check
  readonly references: References
  readonly within: boolean
}

/** All that the references can tell, in the order of the checks. An error is a difference that cannot be measured. */
export async function* findings(checks: readonly Check[], references: References): AsyncGenerator<Finding> {
  for (const check of checks) {
    const measured = await check.run(references)
    if (measured) yield { ...measured, check, references, within: measured.difference <= check.tolerance }
  }
}

/** One line for people. */
export function describe({ check, difference, count }: Finding): string {
  const amount = difference === 0 ? '0' : difference.toExponential(2)
  return `${check.step}: ${check.quantity}: ${amount} of ${check.tolerance} ${check.unit}${count === undefined ? '' : `, ${count}`}`
}

/** The largest of several differences. */
export function largest(differences: Iterable<number>): number {
  let most = 0
  for (const difference of differences)
    if (!(difference <= most)) most = Number.isNaN(difference) ? Infinity : difference
  return most
}

/** 0 for equal lists, Infinity for others. */
export function equality(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  return maxDifference(found, expected) === 0 ? 0 : Infinity
}

/** One comparison per case, the largest counting; undefined without cases. */
export async function overCases<Case>(
  cases: readonly Case[] | undefined,
  noun: string,
  compare: (found: Case) => number | Promise<number>,
): Promise<Measured | undefined> {
  if (!cases || cases.length === 0) return undefined
  const differences: number[] = []
  for (const found of cases) differences.push(await compare(found))
  return { difference: largest(differences), count: `${cases.length} ${noun}` }
}
