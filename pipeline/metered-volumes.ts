/**
 * Volumes between stages that tell the meter who pulls them. The same grid, the same `resident` and whatever else a volume
 * carries; slabs and regions go through. What is handed on unchanged comes out of a stage as it went in.
 */

import { subjectOf, type StageMeter, type Subject } from './stage-meter.ts'
import type { Item, Key } from './flow.ts'
import type { Slab, Volume } from './grid.ts'

const keys: readonly Key[] = ['image', 'label', 'prediction']

/** Who has made a volume, by its `slabs`: what copies a volume to add to it keeps them, what changes voxels cannot. */
const makers = new WeakMap<Volume['slabs'], StageMeter>()
/** The volume that somebody was given to read, by the `slabs` he was given. */
const originals = new WeakMap<Volume['slabs'], Volume>()

/** The item with volumes that tell who reads them. Voxels in memory are read by nobody. */
export function readBy(reader: StageMeter, item: Item): Item {
  return withVolumes(item, (volume, key) => {
    const maker = makers.get(volume.slabs)
    return maker ? countedVolume(volume, maker, reader, subjectOf(item), key) : volume
  })
}

/** The item as its stage has made it: volumes that it has only handed through are what they were. */
export function madeBy(maker: StageMeter, item: Item): Item {
  return withVolumes(item, volume => {
    const original = originals.get(volume.slabs)
    if (original) return { ...volume, slabs: original.slabs, ...(original.region && { region: original.region }) }
    if (!makers.has(volume.slabs)) makers.set(volume.slabs, maker)
    return volume
  })
}

function withVolumes(item: Item, work: (volume: Volume, key: Key) => Volume): Item {
  if (!('case' in item)) return item
  const held = item as Item & { readonly [K in Key]?: Volume }
  const changed: { [K in Key]?: Volume } = {}
  for (const key of keys) {
    const volume = held[key]
    // Asked whether it is there, not for it: it may be made when somebody takes it.
    if (!volume || 'resident' in volume) continue
    const worked = work(volume, key)
    if (worked !== volume) changed[key] = worked
  }
  return Object.keys(changed).length > 0 ? ({ ...item, ...changed } as Item) : item
}

function countedVolume(volume: Volume, maker: StageMeter, reader: StageMeter, of: Subject, key: Key): Volume {
  const { region } = volume
  const counted: Volume = {
    ...volume,
    slabs: () => countedSlabs(volume, maker, reader, of, key),
    ...(region && {
      region: (start, shape) =>
        reader.reads(maker, of, key, async () => {
          const voxels = await region(start, shape)
          maker.pulled({ voxels })
          return voxels
        }),
    }),
  }
  originals.set(counted.slabs, volume)
  return counted
}

function countedSlabs(
  volume: Volume,
  maker: StageMeter,
  reader: StageMeter,
  of: Subject,
  key: Key,
): AsyncIterableIterator<Slab> {
  const source = volume.slabs()[Symbol.asyncIterator]()
  return {
    next: () =>
      reader.reads(maker, of, key, async () => {
        const step = await source.next()
        if (step.done !== true) maker.pulled(step.value)
        return step
      }),
    // Closing files is work as well.
    return: value =>
      reader.reads(maker, of, key, async () => (await source.return?.(value)) ?? { done: true, value: undefined }),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
