/** Phantoms as a data set: written on first use, with the threshold that any network must beat. */

import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ensurePhantoms, type PhantomDataSetOptions } from '../fixtures/phantoms/data-set.ts'
import { bestThreshold, type Rule } from '../fixtures/phantoms/threshold.ts'
import { openNifti } from '../imaging/nifti-read.ts'
import { materialise } from '../imaging/volume.ts'

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
      const { rule, dice } = bestThreshold(await readSection(list, section))
      return { name: `the best single threshold (${words(rule)})`, dice }
    },
  }
}

async function readSection(list: string, section: string): Promise<{ image: Int16Array; label: Uint8Array }[]> {
  const content = JSON.parse(await readFile(list, 'utf8')) as Record<string, { image: string; label: string }[]>
  const cases: { image: Int16Array; label: Uint8Array }[] = []
  for (const { image, label } of content[section] ?? []) {
    cases.push({
      image: Int16Array.from(await voxelsOf(list, image)),
      label: Uint8Array.from(await voxelsOf(list, label)),
    })
  }
  return cases
}

async function voxelsOf(list: string, path: string): Promise<Float32Array> {
  return materialise((await openNifti(resolve(dirname(list), path))).volume)
}

function words({ from, to }: Rule): string {
  if (!Number.isFinite(from)) return `HU < ${to}`
  return Number.isFinite(to) ? `${from} <= HU < ${to}` : `HU >= ${from}`
}
