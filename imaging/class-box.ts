/** One class of masks, cut out of them: the box around it, and its voxels as bits. */

import { setImmediate } from 'node:timers/promises'
import { emptyBitMask, type BitMask } from '../native/surface.ts'
import type { Mask } from '../pipeline/flow.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { Box } from './foreground.ts'

/** The smallest box that holds every voxel of class `value`, not 0, of all masks; undefined where there is none. */
export async function classBox(masks: readonly Mask[], value: number): Promise<Box | undefined> {
  const low = [Infinity, Infinity, Infinity]
  const high = [-1, -1, -1]
  const pause = pauses()
  for (const mask of masks) {
    const [nx, , nz] = mask.shape
    for (let z = 0; z < nz; z++) {
      const { from, to, value: values } = mask.runs(z)
      for (let i = 0; i < from.length; i++) {
        if (values[i] !== value) continue
        const y = Math.floor(from[i]! / nx)
        low[0] = Math.min(low[0]!, from[i]! - y * nx)
        low[1] = Math.min(low[1]!, y)
        low[2] = Math.min(low[2]!, z)
        high[0] = Math.max(high[0]!, to[i]! - 1 - y * nx)
        high[1] = Math.max(high[1]!, y)
        high[2] = Math.max(high[2]!, z)
      }
      await pause()
    }
  }
  if (high[0]! < 0) return undefined
  const shape = high.map((end, axis) => end + 1 - low[axis]!)
  return { start: low as unknown as Shape3, shape: shape as unknown as Shape3 }
}

/** Class `value`, not 0, of a mask inside `box`, which has to hold all of it. */
export async function classBits(mask: Mask, { start, shape }: Box, value: number): Promise<BitMask> {
  const bits = emptyBitMask(shape)
  const [nx] = mask.shape
  const rowWords = bits.words.length / (shape[1] * shape[2])
  const pause = pauses()
  for (let z = 0; z < shape[2]; z++) {
    const { from, to, value: values } = mask.runs(start[2] + z)
    for (let i = 0; i < from.length; i++) {
      if (values[i] !== value) continue
      const y = Math.floor(from[i]! / nx)
      const before = y * nx + start[0]
      setBits(bits.words, (z * shape[1] + y - start[1]) * rowWords, from[i]! - before, to[i]! - before)
    }
    await pause()
  }
  return bits
}

/** Sets the bits from `from` to before `to` of a row whose first word is `row`. */
function setBits(words: Int32Array, row: number, from: number, to: number): void {
  const [first, last] = [row + (from >>> 5), row + ((to - 1) >>> 5)]
  const [head, tail] = [-1 << (from & 31), -1 >>> (31 - ((to - 1) & 31))]
  if (first === last) {
    words[first]! |= head & tail
    return
  }
  words[first]! |= head
  words.fill(-1, first + 1, last)
  words[last]! |= tail
}

/** To be awaited often: lets others in now and then. */
function pauses(): () => Promise<void> | undefined {
  let last = performance.now()
  return () => {
    if (performance.now() - last < 10) return undefined
    return setImmediate().then(() => void (last = performance.now()))
  }
}
