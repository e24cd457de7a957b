/** Applying a function to those volumes of a sample that a stage works on. */

import { carryHeader } from '../imaging/volume.ts'
import type { Key, Sample } from '../pipeline/flow.ts'
import type { SpatialStep, Volume } from '../pipeline/grid.ts'

/** Schema of the option that names the volumes. */
export const keys = {
  type: 'array',
  items: { enum: ['image', 'label', 'prediction'] },
  uniqueItems: true,
  minItems: 1,
} as const

/**
 * A new sample whose named volumes went through `work`; keys that the sample lacks are left out. Where one of them has become
 * another, what was derived from them is left behind: it would tell of voxels that are no longer these.
 */
export function withVolumes(sample: Sample, keys: readonly Key[], work: (volume: Volume, key: Key) => Volume): Sample {
  const changed: Partial<Record<Key, Volume>> = {}
  for (const key of keys) {
    const volume = sample[key]
    const made = volume && work(volume, key)
    if (made && made !== volume) changed[key] = carryHeader(volume, made)
  }
  if (Object.keys(changed).length === 0) return sample
  const { annex: _, ...rest } = sample
  return { ...rest, ...changed }
}

/** The sample with what a random stage drew for it; a second stage of a kind does not hide the first. */
export function withDraw(sample: Sample, kind: string, drawn: unknown): Sample {
  let name = kind
  for (let n = 2; name in sample.draws; n++) name = `${kind} ${n}`
  return { ...sample, draws: { ...sample.draws, [name]: drawn } }
}

/** The sample with a step added; steps tell what happened to the image, so only a change of the image adds one. */
export function withStep(sample: Sample, step: SpatialStep | undefined): Sample {
  return step ? { ...sample, steps: [...sample.steps, step] } : sample
}
