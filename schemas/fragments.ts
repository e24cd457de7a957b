/** Parts that several stages' schemas share. */

import { bytesPattern } from '../pipeline/bytes.ts'

export const bytes = {
  type: ['string', 'integer'],
  pattern: bytesPattern,
  minimum: 0,
} as const

/** Three extents along x, y, z. */
export const size = {
  type: 'array',
  items: { type: 'integer', minimum: 1 },
  minItems: 3,
  maxItems: 3,
} as const

export const probability = { type: 'number', minimum: 0, maximum: 1 } as const

/** How a volume is covered by windows; the published values are the defaults. */
export const windows = {
  window: {
    ...size,
    items: { type: 'integer', minimum: 0 },
    default: [224, 224, 32],
    description:
      "voxels of a window along x, y, z, each divisible by what the network halves; 0 takes the image's own extent",
  },
  overlap: {
    type: ['number', 'array'],
    minimum: 0,
    exclusiveMaximum: 1,
    items: { type: 'number', minimum: 0, exclusiveMaximum: 1 },
    minItems: 3,
    maxItems: 3,
    default: 0.6,
    description: 'share of a window that its neighbour covers too; one number, or one each along x, y, z',
  },
  blend: {
    enum: ['constant', 'gaussian'],
    default: 'constant',
    description: "weight of a window's voxels where windows overlap",
  },
  sigma: {
    type: 'number',
    exclusiveMinimum: 0,
    default: 0.125,
    description: 'for gaussian: standard deviation as a share of the window',
  },
  windowBatch: { type: 'integer', minimum: 1, default: 1, description: 'windows in one call of the network' },
} as const

export const emptyRule = {
  enum: ['strict', 'monai'],
  default: 'strict',
  description:
    'a case without lesion in the reference: strict scores 1 for an empty mask and 0 for any other; monai leaves it out. docs/metrics.md has both rules for every metric',
} as const
