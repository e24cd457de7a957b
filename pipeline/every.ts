/** Something done again and again while a run goes on, without keeping the process alive for it. */

/** Calls `tick` every so many seconds until what it returns is called. */
export type Every = (seconds: number, tick: () => void) => () => void

export const every: Every = (seconds, tick) => {
  const timer = setInterval(tick, seconds * 1000).unref()
  return () => clearInterval(timer)
}
