/** Keeps what the stages before it made of a case: in memory, on disk, both, or not at all. */

import highland from 'highland'
import type { FromSchema } from 'json-schema-to-ts'
import { CachedCases } from '../cache/cached-cases.ts'
import { encodingBytes } from '../cache/chunk.ts'
import { voxelCount } from '../imaging/volume.ts'
import { planResident } from '../imaging/volume-plan.ts'
import { hasEntry } from '../cache/disk-tier.ts'
import { caseKey } from '../cache/key.ts'
import { parseBytes } from '../pipeline/bytes.ts'
import type { Case, Item, Key, Sample } from '../pipeline/flow.ts'
import type { Plan, VolumePlan } from '../pipeline/planned.ts'
import type { Context, Stage, Upstream } from '../pipeline/stage.ts'
import { userCacheFolder } from '../pipeline/user-cache.ts'
import { version } from '../pipeline/version.ts'
import { bytes } from '../schemas/fragments.ts'
import { needOf } from './admit.ts'
import { perItemAsync } from './lift.ts'

const schema = {
  type: 'object',
  description:
    'Keeps the volumes made by the stages before it; a hit runs none of those stages. What is wanted last leaves first, since the order of the next epoch is known. Results do not depend on what is kept.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'cache' },
    policy: {
      enum: ['memory', 'disk', 'both', 'none'],
      default: 'memory',
      description:
        'memory: as far as "memory" has room; disk: in a folder that later runs and other processes share; both: on disk, and in memory what has room; none: nothing is kept',
    },
    bytes: {
      ...bytes,
      default: 'auto',
      description:
        'most bytes in memory of cases that are not in use, such as "2GiB"; "auto" is whatever "memory" leaves',
    },
    encoding: {
      enum: ['exact', 'uint16'],
      default: 'exact',
      description:
        "exact: the image as float32, masks as bytes where they fit; uint16: the image in half the bytes, off by at most 1/131070 of each plane's range (8e-6 after clip to [0, 1]). Hits and misses give the same voxels either way",
    },
    disk: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'where, and how much',
      properties: {
        folder: {
          type: 'string',
          minLength: 1,
          description: 'the folder; default: in the cache folder of the user. Nothing else should lie in it',
        },
        bytes: {
          ...bytes,
          default: 'auto',
          description:
            'most bytes in the folder, such as "200GB"; "auto" is all but a tenth of what is free on the disk',
        },
      },
    },
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'cases being made at a time' },
  },
  examples: [{ kind: 'cache' }, { kind: 'cache', policy: 'both', encoding: 'uint16', disk: { bytes: '200GB' } }],
} as const

type Options = FromSchema<typeof schema>

export const cache: Stage<Options> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  wraps: true,
  paths: [['disk', 'folder']],
  create(options, context, before) {
    const cases = casesOf(options, context, before)
    return perItemAsync<Sample, Sample>('cache', options.parallel, sample => cases.serve(sample, needOf(sample)))
  },
  plan: planEntry,
}

/** Whether an earlier run has left a case on disk, where the cache of these stages would find it. */
export async function isOnDisk(
  stages: readonly { readonly kind: string }[],
  { image, label, prediction }: Case,
): Promise<boolean> {
  const at = stages.findIndex(({ kind }) => kind === 'cache')
  const options = stages[at] as Options | undefined
  if (!options || !usesDisk(options)) return false
  const files = { ...(image && { image }), ...(label && { label }), ...(prediction && { prediction }) }
  const made = { stages: stages.slice(0, at), encoding: options.encoding, version: version() }
  return hasEntry(folderOf(options), await caseKey({ files, ...made }))
}

function usesDisk({ policy }: Options): boolean {
  return policy === 'disk' || policy === 'both'
}

function folderOf({ disk }: Options): string {
  return disk.folder ?? userCacheFolder('volumes')
}

/** Whatever the policy, an entry lies in memory while it is made and, unless it is read from disk, while its case is in use. */
function planEntry({ encoding }: Options, plan: Plan): Plan {
  const made = Object.entries(plan.volumes) as [Key, VolumePlan][]
  // Masks hold class indices, which fit into bytes.
  const bytesOfVoxel = (key: Key): number => (key !== 'image' ? 1 : encoding === 'uint16' ? 2 : 4)
  const entry = made.reduce((sum, [key, { grid }]) => sum + voxelCount(grid) * bytesOfVoxel(key), 0)
  const atWork = made.reduce((sum, [, { pulling, grid }]) => sum + pulling + encodingBytes(grid), 0)
  const volumes = made.map(([key, { grid, isExact }]): [Key, VolumePlan] => {
    const there = planResident(grid, isExact)
    return [key, { ...there, access: 'region', pulling: there.slab }]
  })
  return {
    ...plan,
    volumes: Object.fromEntries(volumes),
    resident: plan.resident + entry,
    bytes: Math.max(plan.bytes, plan.resident + entry + atWork),
  }
}

function casesOf(options: Options, context: Context, before: Upstream): CachedCases {
  const { policy, bytes: mostBytes, encoding, disk } = options
  const inMemory = policy === 'memory' || policy === 'both'
  return new CachedCases({
    context,
    encoding,
    version: version(),
    stages: before.stages,
    memoryBytes: !inMemory ? 0 : mostBytes === 'auto' ? Infinity : parseBytes(mostBytes),
    ...(usesDisk(options) && {
      disk: {
        folder: folderOf(options),
        limitBytes: disk.bytes === 'auto' ? Infinity : parseBytes(disk.bytes),
      },
    }),
    make: async sample => (await before.flow(highland<Item>([sample])).toPromise(Promise)) as Sample,
  })
}
