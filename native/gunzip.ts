/**
 * The addon's calls for gzip streams: inflated step by step on libuv's pool. What a step is lent must stay attached until
 * its promise settles.
 */

import { loadAddon } from './addon.ts'

/** In the order of `Gunzip::State` in gunzip.h. */
const states = ['inside', 'between', 'over', 'damaged'] as const

/** A stream and how far it has been inflated; only the addon can look into it. */
export type GunzipStream = object & { readonly __stream?: never }

export interface GunzipCalls {
  openGunzip(): GunzipStream
  gunzip(
    stream: GunzipStream,
    from: Uint8Array,
    to: Uint8Array,
  ): Promise<readonly [used: number, made: number, state: number, damage: string | null]>
}

export interface GunzipStep {
  /** Bytes of `from`: all of them, unless `to` is full or the stream is over or damaged. */
  readonly used: number
  readonly made: number
  /**
   * `inside` a member; `between` members, where the stream may end or go on with another one; `over` where only padding
   * follows, which is told by its first byte, a zero; `damaged` for good.
   */
  readonly state: (typeof states)[number]
  /** What is wrong with a stream that is damaged, in zlib's words. */
  readonly damage: string | null
}

/** About the bytes of a stream. */
export const gunzipStreamBytes = 1 << 16

export function openGunzip(): GunzipStream {
  return loadAddon().openGunzip()
}

/** Goes on with the stream; one step at a time, else a RangeError. */
export async function gunzip(stream: GunzipStream, from: Uint8Array, to: Uint8Array): Promise<GunzipStep> {
  const [used, made, state, damage] = await loadAddon().gunzip(stream, from, to)
  return { used, made, state: states[state]!, damage }
}
