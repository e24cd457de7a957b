/** Making the next slab while the last one is being used. */

import type { Slab, Volume } from '../pipeline/stage.ts'
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

/** Some planes of one channel and another, made together. */
export interface ChannelSlab {
  readonly z: number
  readonly planes: number
  /** One array (planes, y, x) per channel. */
  readonly channels: readonly Float32Array[]
  readonly release: () => void
}

/**
 * What is made for all channels at once, as one volume per channel, each to be pulled once and all side by side: what one of
 * them is ahead of the others is kept.
 */
export function channelVolumes(
  volume: Pick<Volume, 'grid'>,
  channels: number,
  source: AsyncIterable<ChannelSlab>,
): Volume[] {
  const items = source[Symbol.asyncIterator]()
  const waiting = Array.from({ length: channels }, (): Slab[] => [])
  let pulling: Promise<boolean> | undefined
  let open = channels

  /** Puts the next slab into every queue; false at the end. */
  const pull = async (): Promise<boolean> => {
    const { done, value } = await items.next()
    if (done) return false
    let held = channels
    const release = (): void => {
      if (--held === 0) value.release()
    }
    for (const [c, voxels] of value.channels.entries()) {
      let isHeld = true
      waiting[c]!.push({
        z: value.z,
        planes: value.planes,
        voxels,
        release: () => {
          if (isHeld) release()
          isHeld = false
        },
      })
    }
    return true
  }

  return waiting.map(queue =>
    lazyVolume(volume.grid, async function* (): AsyncGenerator<Slab> {
      let isAtEnd = false
      try {
        for (;;) {
          while (queue.length === 0) {
            pulling ??= pull().finally(() => (pulling = undefined))
            isAtEnd = !(await pulling) && queue.length === 0
            if (isAtEnd) return
          }
          yield queue.shift()!
        }
      } finally {
        // Who stops early stops all of them: the others may never have begun.
        if (!isAtEnd || --open === 0) await items.return?.()
      }
    }),
  )
}
