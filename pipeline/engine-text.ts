/** An engine in words. */

import type { EngineInfo } from './engine.ts'

/** "native, float32, 2 threads, AMD EPYC 9554, avx512" or "webgpu, float32, NVIDIA H200, driver NVIDIA 550.54". */
export function engineText({ backend, precision, threads, device, gpu }: EngineInfo): string {
  const by = gpu ? [device, ...(gpu.driver === '' ? [] : [`driver ${gpu.driver}`])] : [`${threads} threads`, device]
  return [backend, precision, ...by].join(', ')
}
