/** The line of the progress display that says who waits for whom, as of the last seconds. */

import { between, bottleneckOf } from './bottleneck.ts'
import { every as realTime, type Every } from './every.ts'
import type { Meter, MeterSnapshot } from './meter.ts'

/** How far back the line looks, s: long enough for some steps, short enough to follow what happens. */
const window = 10

/** Shows the line every second until it is closed. */
export function openStatus(meter: Meter, show: (text: string) => void, every: Every = realTime): { close(): void } {
  const past: MeterSnapshot[] = [meter.snapshot()]
  const close = every(1, () => {
    const now = meter.snapshot()
    const traits = meter.stages.map(stage => stage.traits)
    const found = bottleneckOf(between(past[0], now), traits)
    if (found) show(found.text)
    past.push(now)
    if (past.length > window) past.shift()
  })
  return { close }
}
