/** What a piece of work takes: time, the processors' time, and the time of the one thread that JavaScript has. */

import { performance } from 'node:perf_hooks'

/** Seconds. */
export interface Effort {
  readonly wall: number
  /** Of all threads together. */
  readonly cpu: number
  /** For which the main thread was busy. */
  readonly main: number
}

export const noEffort: Effort = { wall: 0, cpu: 0, main: 0 }

export async function measured<T>(work: () => Promise<T>): Promise<{ result: T; effort: Effort }> {
  const cpu = process.cpuUsage()
  const loop = performance.eventLoopUtilization()
  const started = performance.now()
  const result = await work()
  const wall = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const main = performance.eventLoopUtilization(loop).active / 1000
  return { result, effort: { wall, cpu: (user + system) / 1e6, main: Math.min(wall, main) } }
}

export function times({ wall, cpu, main }: Effort, n: number): Effort {
  return { wall: wall * n, cpu: cpu * n, main: main * n }
}

export function plus(...efforts: readonly Effort[]): Effort {
  const sum = (of: (effort: Effort) => number): number => efforts.reduce((total, effort) => total + of(effort), 0)
  return { wall: sum(({ wall }) => wall), cpu: sum(({ cpu }) => cpu), main: sum(({ main }) => main) }
}

/** What is left of an effort without another one, which noise may have made the larger. */
export function less(effort: Effort, other: Effort): Effort {
  const left = (of: (effort: Effort) => number): number => Math.max(0, of(effort) - of(other))
  return { wall: left(({ wall }) => wall), cpu: left(({ cpu }) => cpu), main: left(({ main }) => main) }
}
