/** What the rows of transforms share: their arguments' keys, and what they add to. */

import { show } from '../../pipeline/problems.ts'
import type { Args } from './component.ts'
import type { Chain } from './chain.ts'
import { sameJson } from './json.ts'

export interface TransformContext {
  readonly chain: Chain
  /** Classes of the network, the background included. */
  readonly classes: number
}

/** What a transform does to the chain, from its arguments. */
export type Row = (args: Args, context: TransformContext) => void

/** The volumes of a case. */
export const volumes = ['image', 'label'] as const

/** True where a transform of intensities is for the image alone; says so where it is not. */
export function isImageOnly(args: Args): boolean {
  const keys = args.keys(['image'])
  if (sameJson(keys, ['image'])) return true
  args.reject(`expected the key "image", found ${show(keys)}`)
  return false
}
