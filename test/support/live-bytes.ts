/**
 * Takes one case through stages in a process of its own and prints the most bytes of typed arrays that were alive at
 * once, as JSON: `node --expose-gc live-bytes.js <stages> <case>`. Garbage is collected at every large array.
 *
 * Volumes that come out are pulled side by side, slab by slab, as a cache would.
 */

import highland from 'highland'
import { compose } from '../../pipeline/compose.ts'
import type { StageOptions } from '../../pipeline/definition.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Case, Item, Key, Mask, Sample } from '../../pipeline/flow.ts'
import type { Volume } from '../../pipeline/grid.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { contextOf } from './stage.ts'

const [stages, found] = process.argv.slice(2).map(text => JSON.parse(text)) as [StageOptions[], Case]
const collect = (globalThis as unknown as { gc: () => void }).gc
let peak = 0
let sampling = false

/** Bytes alive now, should they be the most so far. */
function sample(): void {
  if (!sampling) return
  sampling = false
  // What one collection finds dead is freed by the next.
  collect()
  collect()
  peak = Math.max(peak, process.memoryUsage().arrayBuffers)
  sampling = true
}

for (const name of ['Float32Array', 'Float64Array', 'Uint8Array', 'Uint16Array', 'Int16Array'] as const) {
  const Original = globalThis[name] as unknown as new (...args: unknown[]) => { byteLength: number }
  const Counted = class extends Original {
    constructor(...args: unknown[]) {
      super(...args)
      const isView = args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer
      if (!isView && this.byteLength >= 1 << 18) sample()
    }
  }
  Object.defineProperty(Counted, 'name', { value: name })
  Object.assign(globalThis, { [name]: Counted })
}

/** Logits of two classes that are nothing. */
const engine = {
  info: { classes: 2 },
  infer: async (windows: Float32Array) => new Float32Array(new SharedArrayBuffer(windows.byteLength * 2)),
} as unknown as Engine

async function pull(volume: Volume): Promise<void> {
  for await (const slab of volume.slabs()) void slab
}

const flow = compose(stages, contextOf({ engine: () => engine })).at(-1)!
const start = ((): number => {
  collect()
  collect()
  return process.memoryUsage().arrayBuffers
})()
sampling = true
const items = await flow(highland<Item>([sampleOf(found, 0)]))
  .collect()
  .toPromise(Promise)
const grids: Record<string, unknown> = {}
for (const item of items as unknown as Sample[]) {
  for (const key of ['image', 'label', 'prediction'] as Key[]) if (item[key]) grids[key] = item[key].grid
}
const { length } = items as unknown as Item[]
const last = (items as unknown as (Sample & { mask?: Mask })[]).at(-1)!
if (!last.mask && !('metrics' in last))
  await Promise.all([last.image, last.label, last.prediction].map(volume => volume && pull(volume)))
sample()
console.log(JSON.stringify({ bytes: peak - start, grids, items: length }))
