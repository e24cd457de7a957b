/** What the plans of several stages share: how a case's volumes become others, and how many bytes that takes. */

import { materialisedBytes } from '../imaging/volume-plan.ts'
import type { Key } from '../pipeline/flow.ts'
import type { SpatialStep } from '../pipeline/grid.ts'
import type { Plan, VolumePlan } from '../pipeline/planned.ts'

/** Bytes at work while all volumes are pulled side by side. */
export function pullingBytes(volumes: Plan['volumes']): number {
  return Object.values(volumes).reduce((sum, { pulling }) => sum + pulling, 0)
}

/** The plan whose named volumes became others; like `withVolumes`. Bytes count whoever pulls all of them side by side. */
export function withPlans(plan: Plan, keys: readonly Key[], work: (volume: VolumePlan, key: Key) => VolumePlan): Plan {
  const volumes: { [K in Key]?: VolumePlan } = { ...plan.volumes }
  // What was in memory and is cut or turned is there twice.
  let copies = 0
  for (const key of keys) {
    const volume = plan.volumes[key]
    if (!volume) continue
    const made = (volumes[key] = work(volume, key))
    if (made !== volume && made.access === 'resident') copies += materialisedBytes({ ...made, access: 'slabs' })
  }
  const resident = plan.resident + copies
  return { ...plan, volumes, resident, bytes: Math.max(plan.bytes, resident + pullingBytes(volumes)) }
}

/** The plan with a step of the image added; like `withStep`. */
export function withPlannedStep(plan: Plan, step: SpatialStep | undefined): Plan {
  return step ? { ...plan, steps: [...plan.steps, step] } : plan
}

/** The plan where so many bytes live beside what is resident. */
export function withBytes(plan: Plan, bytes: number): Plan {
  return { ...plan, bytes: Math.max(plan.bytes, plan.resident + bytes) }
}
