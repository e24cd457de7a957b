/** How many bytes of arrays live at most while something is computed. */

/**
 * Most bytes in ArrayBuffers, seen every few milliseconds just after a garbage collection, beyond those before the start and
 * those of the result, whose size `work` tells.
 */
export async function peakLiveBytes(collect: () => void, work: () => Promise<number>): Promise<number> {
  const live = (): number => {
    collect()
    return process.memoryUsage().arrayBuffers
  }
  // What one collection finds dead is freed by the next.
  live()
  const before = live()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, live())
  }, 3)
  try {
    const result = await work()
    return most - before - result
  } finally {
    clearInterval(timer)
  }
}
