/**
 * Where random crops lie: MONAI's `RandCropByPosNegLabel` (map_binary_to_indices, generate_pos_neg_label_crop_centers,
 * correct_crop_centers).
 */

import { PipelineError } from '../pipeline/errors.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import type { CandidateKind } from './candidate-index.ts'

/** The draws that are needed, from wherever they come. */
export interface CentreDraws {
  /** Uniform in [0, 1). */
  uniform(): number
  /** Uniform integer in [0, n). */
  integer(n: number): number
}

export interface CentreOptions {
  /** Extents of the crop, none larger than the volume. */
  readonly size: Shape3
  readonly samples: number
  /** A centre lies on foreground with probability pos / (pos + neg). */
  readonly pos: number
  readonly neg: number
}

/** A candidate that was drawn: the k-th of its kind. */
export interface Pick {
  readonly kind: CandidateKind
  readonly k: number
}

/**
 * Draws the candidates around which crops lie. Two draws each: which kind, which voxel. Where one kind has no voxels the
 * other is taken; ERR_VOLUME where both have none, or where the crop is larger than the volume.
 */
export function drawPicks(
  { foreground, background }: Record<CandidateKind, number>,
  shape: Shape3,
  { size, samples, pos, neg }: CentreOptions,
  draws: CentreDraws,
): Pick[] {
  expectRoom(shape, size)
  if (foreground + background === 0) {
    throw new PipelineError(
      'ERR_VOLUME',
      'expected lesion voxels, or image voxels above the threshold, to crop around, found none',
      {},
    )
  }
  const share = foreground === 0 ? 0 : background === 0 ? 1 : pos / (pos + neg)
  return Array.from({ length: samples }, () => {
    const kind = draws.uniform() < share ? 'foreground' : 'background'
    return { kind, k: draws.integer(kind === 'foreground' ? foreground : background) }
  })
}

/** ERR_VOLUME where a crop is larger than the volume. */
export function expectRoom(shape: Shape3, size: Shape3): void {
  if (size.every((n, axis) => n <= shape[axis]!)) return
  throw new PipelineError(
    'ERR_VOLUME',
    `expected at least ${size.join(' x ')} voxels to crop from, found ${shape.join(' x ')}; pad first`,
    { size, shape },
  )
}

/** The nearest centre whose crop lies inside the volume. */
export function correctedCentre(centre: Shape3, size: Shape3, shape: Shape3): Shape3 {
  const corrected = centre.map((at, axis) => {
    const low = Math.floor(size[axis]! / 2)
    const end = Math.floor(shape[axis]! + 1 - size[axis]! / 2)
    const high = end === low ? low + 1 : end
    return Math.min(Math.max(at, low), high - 1)
  })
  return corrected as unknown as Shape3
}

/** First voxel of the crop around a centre. */
export function cropStart(centre: Shape3, size: Shape3): Shape3 {
  return centre.map((at, axis) => Math.max(0, at - Math.floor(size[axis]! / 2))) as unknown as Shape3
}
