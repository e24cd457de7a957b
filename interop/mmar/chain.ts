/** The stages that a list of transforms becomes, while it is read. */

import type { Json } from './json.ts'

export type StageValue = { readonly kind: string } & Readonly<Record<string, Json>>

/** What is drawn for each patch; the stage "augment" holds all of it. */
interface Augmentation {
  flip?: { readonly probability: number; readonly axes: readonly string[] }
  rotate90?: { readonly probability: number; readonly maxTurns: number }
  shiftIntensity?: { readonly probability: number; readonly offset: number }
}

export class Chain {
  /** Stages on whole volumes, in order, from "load" on. */
  readonly volumes: StageValue[] = []
  readonly augmentation: Augmentation = {}
  crop: StageValue | undefined

  /** What stands in the place of a transform that has been read already may still be changed by a later one. */
  add(stage: StageValue): void {
    this.volumes.push(stage)
  }

  /** Patches of a case. */
  get samples(): number {
    return typeof this.crop?.['samples'] === 'number' ? this.crop['samples'] : 1
  }

  /** The random stages: crop, then augment where anything is drawn. What the MMAR does not draw gets the probability 0. */
  random(): StageValue[] {
    const { flip, rotate90, shiftIntensity } = this.augmentation
    const augment: StageValue = {
      kind: 'augment',
      flip: flip ?? { probability: 0 },
      rotate90: rotate90 ?? { probability: 0 },
      shiftIntensity: shiftIntensity ?? { probability: 0 },
    }
    return [...(this.crop ? [this.crop] : []), ...(flip || rotate90 || shiftIntensity ? [augment] : [])]
  }

  /** The stages on whole volumes with `parallel` for those that read. */
  volumesReadBy(parallel: number): StageValue[] {
    return this.volumes.map(stage => (stage.kind === 'load' ? { ...stage, parallel } : stage))
  }
}

/** The same stages for scans without labels: what only concerns labels is left out. */
export function imageOnly(stages: readonly StageValue[]): StageValue[] {
  return stages.flatMap(stage => {
    if (stage.kind === 'map-label') return []
    const { keys } = stage
    if (!Array.isArray(keys)) return [stage]
    const kept = keys.filter(key => key === 'image')
    return kept.length === 0 ? [] : [{ ...stage, keys: kept }]
  })
}

/** Without what only concerns the speed: to compare what two lists of stages do. */
export function essence(stages: readonly StageValue[]): StageValue[] {
  return stages
    .filter(({ kind }) => kind !== 'cache')
    .map(stage => Object.fromEntries(Object.entries(stage).filter(([name]) => name !== 'parallel')) as StageValue)
}

/** A stage in short: kind and options. */
export function shown({ kind, ...options }: StageValue): string {
  return Object.keys(options).length === 0 ? kind : `${kind} ${JSON.stringify(options)}`
}
