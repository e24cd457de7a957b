/** Making the next slab while the last one is being used. */

import type { Volume } from '../pipeline/grid.ts'
import { lazyVolume } from './volume.ts'

/** The volume, one slab ahead of whoever pulls it. */
export function readAhead(volume: Volume): Volume {
  return lazyVolume(volume.grid, () => oneAhead(volume.slabs()))
}

/** The same items; the next one is on its way while one is used. */
export async function* oneAhead<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  const items = source[Symbol.asyncIterator]()
  let next: Promise<IteratorResult<T>> | undefined = begun(items)
  try {
    for (;;) {
      const { done, value } = await next
      next = undefined
      if (done) return
      next = begun(items)
      yield value
    }
  } finally {
    // What is on its way is waited for: its source is not to be closed under it.
    await next?.catch(() => undefined)
    await items.return?.()
  }
}

/** Who asks for it hears its error; until then nobody does, which is no accident. */
function begun<T>(items: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = items.next()
  next.catch(() => undefined)
  return next
}
