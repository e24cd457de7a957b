/** The entry of a case on its way to a disk that may refuse at any moment. */

import type { LoadedVolume } from '../imaging/volume.ts'
import type { Key } from '../pipeline/flow.ts'
import type { GrowingFile } from './checked-file.ts'
import type { Chunk } from './chunk.ts'
import { EntryBody } from './entry-writer.ts'
import type { Entry } from './entry.ts'
import type { Json } from './plain-text.ts'

/** What the tier lends its writers. */
export interface Publisher {
  /** Moves the finished file to its name; false where it is not kept. */
  publish(): Promise<boolean>
  open(): Promise<Entry | undefined>
  /** No more is to be written; throws what is no fault of the disk's. */
  stop(error: unknown): void
}

/**
 * An entry on its way to the disk. Where the disk refuses, it goes quiet: `append` does nothing more and `commit` gives
 * undefined.
 */
export class EntryWriter {
  readonly #file: GrowingFile
  readonly #body: EntryBody
  readonly #key: string
  readonly #publisher: Publisher
  #isOver = false

  constructor(file: GrowingFile, key: string, publisher: Publisher) {
    this.#file = file
    this.#body = new EntryBody(file)
    this.#key = key
    this.#publisher = publisher
  }

  /** Begins a volume; its chunks come in ascending z, those of several volumes as they like. */
  begin(name: Key, volume: LoadedVolume): void {
    this.#body.begin(name, volume)
  }

  /** Resolves when the chunk is no longer needed. */
  append(name: Key, chunk: Chunk): Promise<void> {
    return this.#unlessOver(() => this.#body.append(name, chunk))
  }

  /** Completes the entry and opens it. Undefined where it could not be kept. */
  async commit(facts: Json): Promise<Entry | undefined> {
    const isKept = await this.#unlessOver(async () => {
      await this.#body.finish(this.#key, facts)
      return this.#publisher.publish()
    })
    if (isKept) return this.#publisher.open()
    await this.abandon()
    return undefined
  }

  /** Ends without an entry; after `commit` nothing happens. */
  abandon(): Promise<void> {
    this.#isOver = true
    return this.#file.abandon()
  }

  async #unlessOver<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#isOver) return undefined
    try {
      return await work()
    } catch (error) {
      // Abandoned meanwhile: its file was closed under the work.
      if (this.#isOver) return undefined
      await this.abandon()
      this.#publisher.stop(error)
      return undefined
    }
  }
}
