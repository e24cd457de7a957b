/** Keeps what the stages before it made of a case, within a number of bytes. */

import highland from 'highland'
import type { FromSchema } from 'json-schema-to-ts'
import { LRUCache } from 'lru-cache'
import { materialise, residentVolume, voxelCount } from '../imaging/volume.ts'
import { planResident } from '../imaging/volume-plan.ts'
import { parseBytes } from '../pipeline/bytes.ts'
import type { Item, Key, Plan, Sample, Stage, Transform, Volume, VolumePlan } from '../pipeline/stage.ts'
import { bytes } from '../schemas/fragments.ts'
import { perItemAsync } from './lift.ts'
import { pullingBytes } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Keeps the volumes made by the stages before it in memory, least recently used first out. A hit runs none of those stages.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'cache' },
    bytes: { ...bytes, default: 'auto', description: 'bytes it may take, such as "2GiB"; "auto" is half of "memory"' },
    parallel: { type: 'integer', minimum: 1, maximum: 64, default: 2, description: 'volumes being made at a time' },
  },
  examples: [{ kind: 'cache' }, { kind: 'cache', bytes: '2GiB', parallel: 2 }],
} as const

const keys: readonly Key[] = ['image', 'label', 'prediction']

export const cache: Stage<FromSchema<typeof schema>> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  wraps: true,
  create(options, context, before) {
    const maxSize = options.bytes === 'auto' ? Math.floor(context.ledger.limitBytes / 2) : parseBytes(options.bytes)
    const entries =
      maxSize > 0
        ? new LRUCache<string, Sample, Sample>({
            maxSize,
            sizeCalculation: bytesOf,
            // A volume being made is not dropped because others were evicted meanwhile: somebody waits for it.
            ignoreFetchAbort: true,
            fetchMethod: (_key, _stale, { context: sample }) => make(sample, before.flow),
          })
        : undefined
    return perItemAsync<Sample, Sample>('cache', options.parallel, async sample => {
      const key = keyOf(sample)
      const hit = entries?.has(key) ?? false
      context.count(hit ? 'cache.hits' : 'cache.misses')
      const kept = entries ? await entries.fetch(key, { context: sample }) : await make(sample, before.flow)
      return { ...kept!, epoch: sample.epoch }
    })
  },
  plan: planEntry,
}

/** The image in its encoding, masks as bytes; whatever the policy, an entry lies in memory while its case is in use. */
function planEntry(options: object, plan: Plan): Plan {
  const { encoding } = options as { readonly encoding?: string }
  const kept = Object.entries(plan.volumes) as [Key, VolumePlan][]
  const isFloat = (key: Key): boolean => key === 'image' && encoding !== 'uint16'
  const bytesOfVoxel = (key: Key): number => (key !== 'image' ? 1 : isFloat(key) ? 4 : 2)
  const entry = kept.reduce((sum, [key, { grid }]) => sum + voxelCount(grid) * bytesOfVoxel(key), 0)
  const volumes = kept.map(([key, { grid, isExact }]): [Key, VolumePlan] => {
    const there = planResident(grid, isExact)
    return [key, isFloat(key) ? there : { ...there, access: 'region', pulling: there.slab }]
  })
  return {
    ...plan,
    volumes: Object.fromEntries(volumes),
    resident: plan.resident + entry,
    bytes: Math.max(plan.bytes, plan.resident + entry + pullingBytes(plan.volumes)),
  }
}

function keyOf({ case: { image, label, prediction, index } }: Sample): string {
  return JSON.stringify([index, image, label, prediction])
}

/** Runs one case through the stages before the cache and pulls its volumes into memory. */
async function make(sample: Sample, before: Transform): Promise<Sample> {
  const made = (await before(highland<Item>([sample])).toPromise(Promise)) as Sample
  const volumes = await Promise.all(
    keys.filter(key => made[key]).map(async key => [key, await resident(made[key]!)] as const),
  )
  return { ...made, ...Object.fromEntries(volumes) }
}

/** The volume with its voxels in memory; what a stage has attached to it stays. */
async function resident(volume: Volume): Promise<Volume> {
  return { ...volume, ...residentVolume(volume.grid, await materialise(volume)) }
}

/** At least 1: lru-cache wants positive sizes. */
function bytesOf(sample: Sample): number {
  return Math.max(
    1,
    keys.reduce((sum, key) => sum + (sample[key]?.resident?.byteLength ?? 0), 0),
  )
}
