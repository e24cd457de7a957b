/** Phantoms as a data set: written on first use, with the threshold that any network must beat. */

import { ensurePhantoms, type PhantomDataSetOptions } from '../fixtures/phantoms/data-set.ts'
import { thresholdBaseline } from '../fixtures/phantoms/threshold.ts'

export interface PhantomDataSet {
  /** The Decathlon list. */
  readonly list: string
  /** The best single HU threshold, tuned on the very cases that it is scored on. */
  readonly baseline: (section: string) => Promise<{ readonly name: string; readonly dice: number }>
}

export async function phantomDataSet(options: PhantomDataSetOptions): Promise<PhantomDataSet> {
  const list = await ensurePhantoms(options)
  return {
    list,
    baseline: async section => {
      const { rule, dice } = await thresholdBaseline(list, section)
      return { name: `the best single threshold (${rule})`, dice }
    },
  }
}
