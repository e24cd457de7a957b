/** A meter whose clock the test turns, and stages that work for as long as the test says. */

import { setImmediate as turn } from 'node:timers/promises'
import { lazyVolume } from '../../imaging/volume.ts'
import { Meter } from '../../pipeline/meter.ts'
import type { StageFigures, StageTraits } from '../../pipeline/stage-meter.ts'
import { metered } from '../../pipeline/metered.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Slab, Volume } from '../../pipeline/grid.ts'
import type { Transform } from '../../pipeline/stage.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { perItem } from '../../stages/lift.ts'
import { gridOf } from './nifti.ts'

export const volumeTraits: StageTraits = { takes: ['case', 'volume'], gives: 'volume', wraps: false }

/** Nothing in these tests waits for a clock or a file: after some turns of the loop whatever could happen has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn()
}

export class FakeTime {
  now = 0
  readonly meter = new Meter(() => this.now)

  /** The stage's code works for so long. */
  works(seconds: number): void {
    this.now += seconds
  }

  /** The transform under a row of the meter. */
  stage(kind: string, transform: Transform, traits: Partial<StageTraits> = {}): Transform {
    return metered(this.meter.stage(kind, { ...volumeTraits, ...traits }), transform)
  }

  figures(kind: string): StageFigures {
    const found = this.meter.snapshot().stages.find(stage => stage.kind === kind)
    if (!found) throw new Error(`no row for ${kind}`)
    return found
  }

  /** A volume of `planes` slabs, each of which takes so long; `onEnd` when its iterator is closed. */
  source(planes: number, seconds: number, onEnd = (): void => {}): Volume {
    const works = (): void => this.works(seconds)
    return lazyVolume(gridOf([2, 2, planes]), async function* (): AsyncGenerator<Slab> {
      try {
        for (let z = 0; z < planes; z++) {
          await turn()
          works()
          yield { z, planes: 1, voxels: new Float32Array(4).fill(z) }
        }
      } finally {
        onEnd()
      }
    })
  }

  /** A stage that returns at once and works while somebody pulls. */
  lazily(kind: string, seconds: number, key: 'image' | 'label' = 'image'): Transform {
    return perItem<Sample, Sample>(kind, sample => {
      const volume = sample[key]!
      const works = (): void => this.works(seconds)
      const changed = lazyVolume(volume.grid, async function* (): AsyncGenerator<Slab> {
        for await (const slab of volume.slabs()) {
          works()
          yield { ...slab, voxels: slab.voxels.map(value => value + 1) }
        }
      })
      return { ...sample, [key]: changed }
    })
  }
}

export function samples(n: number): Sample[] {
  return Array.from({ length: n }, (_, index) =>
    sampleOf({ id: `case${index}`, index, image: `/data/${index}.nii` }, 0),
  )
}

export function idOf(item: Item): string {
  return 'case' in item ? item.case.id : item.cases.join('+')
}
