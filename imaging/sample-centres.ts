/**
 * Where random crops lie: MONAI's `RandCropByPosNegLabel` (map_binary_to_indices, generate_pos_neg_label_crop_centers,
 * correct_crop_centers). Candidates are numbered as there, x slowest and z fastest, without ever listing them.
 */

import { countCandidates } from '../native/voxels.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Shape3 } from '../pipeline/stage.ts'

/** The candidates of a case: foreground (label not 0) and background (not foreground, image above the threshold). */
export interface Candidates {
  readonly foreground: number
  readonly background: number
  /** The k-th voxel (x, y, z) of a kind, 0 <= k < its number. */
  pick(kind: 'foreground' | 'background', k: number): Shape3
}

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

/**
 * Counts the candidates in one pass; arrays are (z, y, x) and must stay as they are while `pick` is used. Without an
 * image every voxel that is not foreground is background.
 */
export async function candidatesOf(
  label: Float32Array,
  image: Float32Array | undefined,
  shape: Shape3,
  threshold = 0,
): Promise<Candidates> {
  const [nx, ny, nz] = shape
  // Per x, because x is slowest in the numbering.
  const counts = await countCandidates(label, image, nx, threshold)
  return {
    foreground: total(counts.foreground),
    background: total(counts.background),
    pick(kind, k) {
      if (!(k >= 0 && k < total(counts[kind])))
        throw new RangeError(`expected less than the number of ${kind} voxels, found ${k}`)
      let left = k
      let x = 0
      while (x < nx && left >= counts[kind][x]!) left -= counts[kind][x++]!
      for (let y = 0; y < ny; y++) {
        for (let z = 0; z < nz; z++) {
          const at = (z * ny + y) * nx + x
          const isForeground = label[at] !== 0
          const isCandidate =
            kind === 'foreground' ? isForeground : !isForeground && (image === undefined || image[at]! > threshold)
          if (isCandidate && left-- === 0) return [x, y, z]
        }
      }
      throw new Error('label or image have changed since the candidates were counted')
    },
  }
}

/**
 * Centres of random crops, moved inwards so that the crops fit. Two draws each: which kind, which voxel. Where one kind
 * has no voxels the other is taken; ERR_VOLUME where both have none, or where the crop is larger than the volume.
 */
export function drawCentres(
  candidates: Candidates,
  shape: Shape3,
  options: CentreOptions,
  draws: CentreDraws,
): Shape3[] {
  const { size, samples, pos, neg } = options
  if (size.some((n, axis) => n > shape[axis]!)) {
    throw new PipelineError(
      'ERR_VOLUME',
      `expected at least ${size.join(' x ')} voxels to crop from, found ${shape.join(' x ')}; pad first`,
      { size, shape },
    )
  }
  const { foreground, background } = candidates
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
    return correctedCentre(candidates.pick(kind, draws.integer(candidates[kind])), size, shape)
  })
}

function total(counts: Float64Array): number {
  return counts.reduce((sum, n) => sum + n, 0)
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
