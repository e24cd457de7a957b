/** Cases by their key, from wherever they are soonest had: memory, disk, or the stages that make them. */

import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PipelineError } from '../pipeline/errors.ts'
import type { Claim, Need } from '../pipeline/claims.ts'
import type { Annex, Key, Sample } from '../pipeline/flow.ts'
import type { Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import { CaseInMemory, caseToMemory, keepCase, volumesOf, type CaseFacts } from './case-in-memory.ts'
import { isDamaged } from './checked-file.ts'
import type { Encoding } from './chunk.ts'
import { openDiskTier, type DiskTier } from './disk-tier.ts'
import type { Entry } from './entry.ts'
import { caseKey, nameOf } from './key.ts'
import { MemoryTier } from './memory-tier.ts'
import type { Json } from './plain-text.ts'

export interface CachedCasesOptions {
  readonly context: Pick<Context, 'ledger' | 'upcoming' | 'count' | 'note'>
  /** Of images; masks are kept exactly. */
  readonly encoding: Encoding
  /** What made the voxels: the program's version, and the stages with their options. */
  readonly version: string
  readonly stages: readonly { readonly kind: string }[]
  /** Most bytes in memory of cases that are not in use; Infinity for what the ledger has. */
  readonly memoryBytes: number
  readonly disk?: { readonly folder: string; readonly limitBytes: number }
  /** Runs the stages; what it gives has not been pulled yet. */
  readonly make: (sample: Sample) => Promise<Sample>
}

type SampleWithClaim = Sample & { readonly claim: Claim }

/** What one run keeps of its cases. */
export class CachedCases {
  readonly #options: CachedCasesOptions
  readonly #memory: MemoryTier<CaseInMemory>
  /** Cases being made or fetched, by key: whoever wants one of them waits for it. */
  readonly #underWay = new Map<string, Promise<unknown>>()
  /** Which case an entry on disk is, as far as this run has met it. */
  readonly #caseIds = new Map<string, string>()
  #disk: Promise<DiskTier> | undefined
  #peakBytes = 0

  constructor(options: CachedCasesOptions) {
    this.#options = options
    const { ledger, upcoming } = options.context
    this.#memory = new MemoryTier({
      ledger,
      upcoming,
      maxBytes: options.memoryBytes,
      dropped: entry => entry.release(),
    })
  }

  /**
   * The case, which holds no claim yet, with its volumes, which can be read in regions, and its claim, whose release gives
   * them back. `need` is what it claims. To be called in the order of the cases.
   */
  async serve(sample: Sample, need: Promise<Need>): Promise<Sample> {
    const { ledger, upcoming } = this.#options.context
    const { id } = sample.case
    let key = ''
    let pinned: CaseInMemory | undefined
    const told = Promise.all([this.#keyOf(sample), need]).then(([asked, { bytes }]) => {
      key = asked
      this.#caseIds.set(nameOf(key), id)
      return bytes
    })
    const granted = (): void => {
      upcoming.used(id)
      pinned = this.#memory.pin(key)
    }
    const claim = await ledger.claim(id, told, granted)
    try {
      const served = await this.#serve(key, { ...sample, claim }, pinned)
      if (served instanceof CaseInMemory) {
        claim.whenReleased(() => this.#memory.unpin(key))
        claim.shrinkTo(served.bytes + (await need).later)
        return this.#fromMemory(key, sample, claim, served)
      }
      return served
    } catch (error) {
      claim.release()
      throw error
    }
  }

  /** In memory and pinned, or read from its file as it is asked for. */
  async #serve(key: string, sample: SampleWithClaim, pinned: CaseInMemory | undefined): Promise<CaseInMemory | Sample> {
    const { context } = this.#options
    let there = pinned
    for (let other = this.#underWay.get(key); !there && other; other = this.#underWay.get(key)) {
      await other.catch(() => {})
      there = this.#memory.pin(key)
    }
    if (there) {
      context.count('cache.hitsInMemory')
      return there
    }
    const work = this.#fetchOrMake(key, sample)
    this.#underWay.set(key, work)
    try {
      return await work
    } finally {
      this.#underWay.delete(key)
      this.#notePeak()
    }
  }

  async #fetchOrMake(key: string, sample: SampleWithClaim): Promise<CaseInMemory | Sample> {
    const { context } = this.#options
    const disk = await this.#openDisk()
    const entry = await disk?.get(key)
    if (disk && entry) {
      const taken = await this.#fromDisk(disk, entry, key, sample)
      if (taken) {
        context.count('cache.hitsOnDisk')
        return taken
      }
    }
    context.count('cache.misses')
    const made = await this.#make(key, sample)
    if (disk) await write(disk, key, made)
    return this.#memory.add(key, sample.case.id, made)
  }

  async #make(key: string, sample: SampleWithClaim): Promise<CaseInMemory> {
    const made = await keepCase(await this.#options.make(sample), this.#options.encoding)
    if ((await this.#keyOf(sample)) === key) return made
    made.release()
    throw new PipelineError(
      'ERR_FILE',
      `expected the files of ${sample.case.id} to stay as they are while they are read, found them changed; run again when nobody writes to them`,
    )
  }

  /** Into memory where it would stay there, else as it is asked for; undefined where the file turns out to be damaged. */
  async #fromDisk(
    disk: DiskTier,
    entry: Entry,
    key: string,
    sample: SampleWithClaim,
  ): Promise<CaseInMemory | Sample | undefined> {
    const facts = entry.facts as unknown as CaseFacts
    const size = Object.values(entry.volumes).reduce((sum, { bytes }) => sum + bytes, 0)
    if (!this.#memory.wouldKeep(sample.case.id, size)) return this.#fromFile(disk, entry, key, sample)
    try {
      return this.#memory.add(key, sample.case.id, await caseToMemory(facts, entry.volumes))
    } catch (error) {
      if (!isDamaged(error)) throw error
      return undefined
    } finally {
      await entry.close()
    }
  }

  #fromMemory(key: string, sample: Sample, claim: Claim, entry: CaseInMemory): Sample {
    const annex = (name: string, make: () => Promise<Uint8Array>): Promise<Annex> =>
      entry.annex(name, async () => {
        const disk = await this.#openDisk()
        if (!disk) return make()
        const kept = await disk.annex(key, name, make)
        return kept.read(0, kept.bytes)
      })
    return { ...sample, ...entry.facts, ...volumesOf(entry.volumes), claim, annex }
  }

  /** Volumes that read their file; what is found damaged later is made anew, within the same claim. */
  #fromFile(disk: DiskTier, entry: Entry, key: string, sample: SampleWithClaim): Sample {
    let anew: Promise<CaseInMemory> | undefined
    const mended = (): Promise<CaseInMemory> => (anew ??= this.#make(key, sample))
    sample.claim.whenReleased(() => {
      void entry.close()
      anew?.then(
        made => made.release(),
        () => {},
      )
    })
    const volumes = Object.entries(volumesOf(entry.volumes)).map(([name, volume]) => [
      name,
      { ...volume, ...orElse(volume, async () => (await mended()).volumes[name as Key]!.volume) },
    ])
    return {
      ...sample,
      ...(entry.facts as unknown as CaseFacts),
      ...(Object.fromEntries(volumes) as Pick<Sample, Key>),
      annex: (name, make) => disk.annex(key, name, make),
    }
  }

  #keyOf({ case: files }: Sample): Promise<string> {
    const { stages, encoding, version } = this.#options
    return caseKey({ files, stages, encoding, version })
  }

  #openDisk(): Promise<DiskTier> | undefined {
    const { disk, context } = this.#options
    if (!disk) return undefined
    return (this.#disk ??= keepFreeBytes(disk.folder).then(keepFree =>
      openDiskTier({
        ...disk,
        keepFreeBytes: keepFree,
        nextUse: name => {
          const id = this.#caseIds.get(name)
          return id === undefined ? undefined : context.upcoming.nextUse(id)
        },
        tell: text => context.note(text),
      }),
    ))
  }

  #notePeak(): void {
    this.#options.context.count('cache.peakBytes', this.#memory.peakBytes - this.#peakBytes)
    this.#peakBytes = this.#memory.peakBytes
  }
}

/** Writes a case chunk by chunk; whatever the disk says to that, the case in memory is good. */
async function write(disk: DiskTier, key: string, made: CaseInMemory): Promise<void> {
  const writer = await disk.create(key, made.bytes)
  if (!writer) return
  try {
    for (const [name, stored] of Object.entries(made.volumes) as [Key, (typeof made.volumes)[Key] & object][]) {
      writer.begin(name, stored.volume)
      for await (const chunk of stored.chunks()) await writer.append(name, chunk)
    }
    const entry = await writer.commit(made.facts as unknown as Json)
    await entry?.close()
  } finally {
    await writer.abandon()
  }
}

/** Reads `volume`, and from where it is found damaged on another one of the same voxels. */
function orElse(volume: Volume, other: () => Promise<Volume>): Pick<Volume, 'slabs' | 'region'> {
  const region = async (start: Parameters<NonNullable<Volume['region']>>[0], shape: typeof start) => {
    try {
      return await volume.region!(start, shape)
    } catch (error) {
      if (!isDamaged(error)) throw error
      return (await other()).region!(start, shape)
    }
  }
  return {
    region,
    async *slabs() {
      let next = 0
      try {
        for await (const slab of volume.slabs()) {
          yield slab
          next = slab.z + slab.planes
        }
      } catch (error) {
        if (!isDamaged(error)) throw error
        // Both are cut into slabs by the grid alone.
        for await (const slab of (await other()).slabs()) if (slab.z >= next) yield slab
      }
    },
  }
}

/** A tenth of what is free on the disk, for others. */
async function keepFreeBytes(folder: string): Promise<number> {
  for (let at = folder; ; at = dirname(at)) {
    const facts = await statfs(at).catch(() => undefined)
    if (facts) return (facts.bavail * facts.bsize) / 10
    if (dirname(at) === at) return 0
  }
}
