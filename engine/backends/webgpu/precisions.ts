/** What the precisions need of an adapter. Loads nothing. */

import type { Adapter } from './adapters.ts'
import type { GpuPrecision } from './kernels/kernel.ts'

/** WGSL features by precision, plain ones first. */
export const featuresOf: Readonly<Record<GpuPrecision, readonly string[]>> = {
  float32: [],
  float16: ['shader-f16'],
  'float16-matrix': ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
}

export const gpuPrecisions = Object.keys(featuresOf) as readonly GpuPrecision[]

interface Able extends Pick<Adapter, 'features'> {
  readonly matrixUnit?: Adapter['matrixUnit'] | undefined
}

/** In words for "has no ... and no ..."; empty where the adapter can. */
export function lacksFor(precision: GpuPrecision, adapter: Able): readonly string[] {
  const missing = featuresOf[precision].filter(feature => !adapter.features.includes(feature))
  if (missing.length > 0 || precision !== 'float16-matrix' || adapter.matrixUnit) return missing
  return ['matrix unit that multiplies float16 and adds in float32']
}

export function precisionsOf(adapter: Able): readonly GpuPrecision[] {
  return gpuPrecisions.filter(precision => lacksFor(precision, adapter).length === 0)
}

/** The precision to use where the adapter lacks one. */
export function nextBest(precision: GpuPrecision, adapters: readonly Able[]): GpuPrecision {
  const able = adapters.flatMap(precisionsOf)
  return gpuPrecisions.slice(0, gpuPrecisions.indexOf(precision)).findLast(other => able.includes(other)) ?? 'float32'
}
