/** One case as a cache keeps it in memory: its encoded volumes, what was done to them, and what was derived from them. */

import type { Annex, Key, Sample } from '../pipeline/flow.ts'
import type { LoadedVolume } from '../imaging/volume.ts'
import { annexOf } from './annex-file.ts'
import type { Encoding } from './chunk.ts'
import { keep, toMemory, type StoredVolume, type VolumeInMemory } from './stored-volume.ts'

/** What a cache keeps of a sample beside its volumes: all that the stages before it made of the case. */
export type CaseFacts = Pick<Sample, 'steps' | 'draws'>

type Volumes<V> = { readonly [K in Key]?: V }

/** A case in memory. It grows with what is derived from it. */
export class CaseInMemory {
  readonly facts: CaseFacts
  readonly volumes: Volumes<VolumeInMemory>
  readonly #annexes = new Map<string, Promise<Uint8Array>>()
  #annexBytes = 0

  constructor(facts: CaseFacts, volumes: Volumes<VolumeInMemory>) {
    this.facts = facts
    this.volumes = volumes
  }

  get bytes(): number {
    return Object.values(this.volumes).reduce((sum, { bytes }) => sum + bytes, this.#annexBytes)
  }

  /** Derived facts by name; made once, whoever asks. What could not be made is not kept. */
  async annex(name: string, make: () => Promise<Uint8Array>): Promise<Annex> {
    let kept = this.#annexes.get(name)
    if (!kept) {
      kept = make()
      this.#annexes.set(name, kept)
      kept.then(
        bytes => (this.#annexBytes += bytes.length),
        () => this.#annexes.delete(name),
      )
    }
    return annexOf(await kept)
  }

  /** Gives the memory back as soon as nobody reads. */
  release(): void {
    for (const volume of Object.values(this.volumes)) volume.release()
    this.#annexes.clear()
  }
}

/** Pulls a sample's volumes, side by side, and keeps them: the image in the given encoding, masks exactly. */
export function keepCase(sample: Sample, encoding: Encoding): Promise<CaseInMemory> {
  const { steps, draws } = sample
  return inMemory({ steps, draws }, sample, (volume, key) => keep(volume, key === 'image' ? encoding : 'exact'))
}

/** Takes a case that is stored elsewhere into memory as it is, without decoding it. */
export function caseToMemory(facts: CaseFacts, volumes: Volumes<StoredVolume>): Promise<CaseInMemory> {
  return inMemory(facts, volumes, toMemory)
}

const keys: readonly Key[] = ['image', 'label', 'prediction']

async function inMemory<V>(
  facts: CaseFacts,
  volumes: Volumes<V>,
  take: (volume: V, key: Key) => Promise<VolumeInMemory>,
): Promise<CaseInMemory> {
  const there = keys.filter(key => volumes[key])
  const taken = await Promise.allSettled(there.map(key => take(volumes[key]!, key)))
  const failed = taken.find(result => result.status === 'rejected')
  if (failed) {
    for (const result of taken) if (result.status === 'fulfilled') result.value.release()
    throw failed.reason
  }
  const kept = taken.map(result => (result as PromiseFulfilledResult<VolumeInMemory>).value)
  return new CaseInMemory(facts, Object.fromEntries(there.map((key, i) => [key, kept[i]!])))
}

/** The volumes as stages want them. */
export function volumesOf(volumes: Volumes<StoredVolume>): Volumes<LoadedVolume> {
  return Object.fromEntries(Object.entries(volumes).map(([key, { volume }]) => [key, volume]))
}
