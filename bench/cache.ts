/**
 * A case of 448 x 448 x 61 with its label, as it comes out of the published preprocessing, on its way into a cache and out of
 * it. The files lie in the system's folder for temporary files and are read again from its page cache.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode, mostBytes, type Encoding } from '../cache/chunk.ts'
import { openDiskTier, type DiskTier } from '../cache/disk-tier.ts'
import type { Entry } from '../cache/entry.ts'
import { keep, type VolumeInMemory } from '../cache/stored-volume.ts'
import { lazyVolume, slabsOf } from '../imaging/volume.ts'
import { rng } from '../pipeline/random.ts'
import type { Shape3, Volume } from '../pipeline/grid.ts'
import type { Trial } from './trial.ts'

const shape: Shape3 = [448, 448, 61]
const patch: Shape3 = [224, 224, 32]
const grid = { shape, affine: [0.8, 0, 0, 0, 0, 0.8, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1] }
const names = ['image', 'label'] as const

/** What a trial needs: a folder, the case's volumes, and the case in both tiers. */
interface Ready {
  readonly folder: string
  readonly volumes: Readonly<Record<(typeof names)[number], Volume>>
  readonly tier: DiskTier
  readonly memory: Readonly<Record<(typeof names)[number], VolumeInMemory>>
}

function volumeOf(value: (i: number) => number): Volume {
  const voxels = Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => value(i))
  return lazyVolume(grid, async function* () {
    yield* slabsOf(grid, voxels)
  })
}

async function write({ tier, volumes }: Pick<Ready, 'tier' | 'volumes'>, encoding: Encoding): Promise<void> {
  const writer = (await tier.create('case', 2 * mostBytes(grid, encoding)))!
  for (const name of names) {
    writer.begin(name, volumes[name])
    for await (const chunk of encode(volumes[name], name === 'image' ? encoding : 'exact'))
      await writer.append(name, chunk)
  }
  await (await writer.commit(null))!.close()
}

function noise(i: number): number {
  return (Math.imul(i, 2654435761) >>> 8) / 2 ** 24
}

async function ready(encoding: Encoding): Promise<Ready> {
  const volumes = {
    image: volumeOf(i => Math.max(0, Math.min(1, 0.5 + 0.5 * Math.sin(i / 3000) + 0.2 * noise(i)))),
    label: volumeOf(i => (Math.floor(i / 40000) % 9 === 0 && i % 448 < 60 ? 1 : 0)),
  }
  const folder = mkdtempSync(join(tmpdir(), 'ctflow-bench-cache-'))
  const tier = await openDiskTier({
    folder,
    limitBytes: 2 ** 30,
    keepFreeBytes: 0,
    tell(message) {
      throw new Error(message)
    },
  })
  await write({ tier, volumes }, encoding)
  const memory = { image: await keep(volumes.image, encoding), label: await keep(volumes.label, 'exact') }
  return { folder, volumes, tier, memory }
}

async function fromEntry(tier: DiskTier, work: (entry: Entry) => Promise<unknown>): Promise<void> {
  const entry = (await tier.get('case'))!
  await work(entry)
  await entry.close()
}

function trial(encoding: Encoding, name: string, work: (at: Ready, start: Shape3) => Promise<void>): Trial {
  let at: Ready
  const draws = rng(0, 0, 0, 'bench-cache')
  return {
    name: `cache/${encoding}/${name}`,
    unit: 'ms',
    runs: 15,
    async prepare() {
      at = await ready(encoding)
    },
    async run() {
      const start = shape.map((n, axis) => draws.integer(n - patch[axis]! + 1)) as unknown as Shape3
      const started = performance.now()
      await work(at, start)
      return performance.now() - started
    },
    async close() {
      rmSync(at.folder, { recursive: true })
    },
  }
}

const works: Readonly<Record<string, (at: Ready, start: Shape3, encoding: Encoding) => Promise<void>>> = {
  'disk/write': (at, _, encoding) => write(at, encoding),
  'disk/crop': ({ tier }, start) =>
    fromEntry(tier, ({ volumes }) => Promise.all(names.map(name => volumes[name]!.volume.region!(start, patch)))),
  'disk/whole': ({ tier }) =>
    fromEntry(tier, ({ volumes }) => Promise.all(names.map(name => volumes[name]!.volume.region!([0, 0, 0], shape)))),
  'memory/crop': async ({ memory }, start) => {
    await Promise.all(names.map(name => memory[name].volume.region!(start, patch)))
  },
}

export const trials: readonly Trial[] = (['exact', 'uint16'] as const).flatMap(encoding =>
  Object.entries(works).map(([name, work]) => trial(encoding, name, (at, start) => work(at, start, encoding))),
)
