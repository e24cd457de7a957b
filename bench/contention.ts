/** How much others were in the way: on a busy machine a time says as much about them as about us. */

import { readFileSync, readdirSync } from 'node:fs'

/** Of all threads of a process so far: nanoseconds on a processor, and nanoseconds ready to run and without one. */
export interface ProcessorTime {
  readonly ran: number
  readonly waited: number
}

/** `schedstat` of every thread: "ran waited timeslices". */
export function processorTime(threads: readonly string[]): ProcessorTime {
  const columns = threads.map(text => text.trim().split(' ').map(Number))
  const sum = (column: number): number => columns.reduce((total, values) => total + (values[column] || 0), 0)
  return { ran: sum(0), waited: sum(1) }
}

function read(pid: number): ProcessorTime | undefined {
  const folder = `/proc/${pid}/task`
  try {
    return processorTime(readdirSync(folder).map(thread => readFileSync(`${folder}/${thread}/schedstat`, 'utf8')))
  } catch {
    return undefined // not Linux, a kernel that does not count, or a thread that has just ended
  }
}

export interface Usage {
  /** Of all threads together. */
  readonly processorSeconds: number
  /** From 0 to 1: of the processor time that the threads wanted, what they did not get. */
  readonly contention: number
}

/** Starts a watch over a process; the function it gives tells its usage since. undefined where the system does not tell. */
export function watchUsage(pid: number): () => Usage | undefined {
  const before = read(pid)
  return () => {
    const after = read(pid)
    return before && after && usageBetween(before, after)
  }
}

/** A thread that ended in between takes its count with it: never below zero. */
export function usageBetween(before: ProcessorTime, after: ProcessorTime): Usage {
  const waited = Math.max(0, after.waited - before.waited)
  const ran = Math.max(0, after.ran - before.ran)
  return { processorSeconds: ran / 1e9, contention: waited === 0 ? 0 : waited / (waited + ran) }
}
