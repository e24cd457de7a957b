/** Volumes whose planes are made together. */

import type { Slab, Volume } from '../pipeline/grid.ts'
import { lazyVolume } from './volume.ts'

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
