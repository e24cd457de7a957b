/** `infer`: scans in, masks out, and a manifest that says of each case how it ended. */

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { compose, drain } from '../compose.ts'
import { sectionsOf } from '../data-set.ts'
import type { PipelineError } from '../errors.ts'
import { Eta, leftText } from '../eta.ts'
import { fileHash, watchInput } from '../hashes.ts'
import { lastLines, ManifestWriter, manifestFormat, readManifest, setManifestAside } from '../manifest.ts'
import type { CaseLine, ManifestHead, OutputFile } from '../manifest.ts'
import { needsOf } from '../needs.ts'
import { notWritable } from '../not-writable.ts'
import { findDone, readEarlier, toCompute, type Earlier } from '../resume.ts'
import { casesOf, listDigest, shardName, shardText } from '../shard.ts'
import type { Case, Item, Prediction, Sample } from '../flow.ts'
import { distribution } from '../../stages/index.ts'
import { Superseded } from '../superseded.ts'
import { version } from '../version.ts'
import { sampleOf, type Job, type TaskResult } from './task.ts'

export async function infer(job: Job): Promise<TaskResult> {
  const { definition, dataSet, context, schedule, meter, folder, signal } = job
  const { shard } = job.batch!
  const listed = dataSet.section(sectionsOf('infer', definition.dataset)[0]!)
  const mine = casesOf(listed, shard)
  const path = join(folder.output, shardName('manifest.jsonl', shard))
  const earlier = openEarlier(job, path, listed)
  const superseded = new Superseded(folder.output)
  const manifest = await ManifestWriter.open(path, headOf(job, listed))
  const linesOf = (found: Case): readonly CaseLine[] => earlier?.done.get(found.id) ?? []
  const fresh = mine.filter(found => linesOf(found).length === 0)
  const doubtful = mine.filter(found => linesOf(found).length > 0)
  const batch = new Batch(job, manifest, superseded, mine.length, doubtful.length)
  const ending = new AbortController()
  signal.addEventListener('abort', () => ending.abort(), { once: true })
  const { cases, checked } = toCompute(
    fresh,
    doubtful,
    found => batch.isDone(found, linesOf(found), ending.signal),
    ending.signal,
  )
  try {
    schedule.begin({ ids: [...fresh, ...doubtful].map(({ id }) => id) }, [])
    const flow = compose(definition.stages, context, meter).at(-1)!
    const need = needsOf(definition.stages, { classes: definition.network ? context.engine().info.classes : 0 })
    await drain(
      batch.samples(cases, found => sampleOf(found, 0, need), ending.signal),
      flow,
      batch,
      signal,
    )
  } finally {
    ending.abort()
    await checked
    await manifest.close()
  }
  return batch.result()
}

/** With --resume, what was done before; without it the manifest makes room for a new one. */
function openEarlier(
  { folder, progress, making, batch }: Job,
  path: string,
  listed: readonly Case[],
): Earlier | undefined {
  noteOrphans(path, listed, progress.note)
  if (!batch!.resume) {
    const before = readManifest(path)
    // A run that ended before its first case is none to keep.
    if (!before || lastLines(before).size === 0) return undefined
    progress.note(
      `all cases are computed: an earlier run is not gone on with (--resume does that); its manifest is kept`,
    )
    setManifestAside(path)
    return undefined
  }
  const earlier = readEarlier(folder.output, making)
  const { unreadable, otherwise } = earlier
  if (unreadable > 0)
    progress.note(
      `manifest: ${unreadable === 1 ? 'one line was cut and is' : `${unreadable} lines were cut and are`} left out`,
    )
  const again = listed.filter(({ id }) => otherwise.has(id)).length
  if (again > 0) progress.note(`${counted(again, 'case')} done before with another definition or model: computed again`)
  return earlier
}

/** Masks of cases that are not in the data set any more stay where they are. */
function noteOrphans(path: string, listed: readonly Case[], note: (text: string) => void): void {
  const before = readManifest(path)
  if (!before) return
  const ids = new Set(listed.map(({ id }) => id))
  const left = [...lastLines(before)].filter(([id, { line }]) => !ids.has(id) && line.outputs.length > 0)
  if (left.length > 0)
    note(
      `${counted(left.length, 'case')} of the manifest no longer in the data set: what was made of them is left alone`,
    )
}

function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function headOf({ making, batch }: Job, listed: readonly Case[]): ManifestHead {
  const { shard } = batch!
  return {
    format: manifestFormat,
    ctflow: version(),
    ...making,
    cases: listed.length,
    list: listDigest(listed),
    shard: shard ? shardText(shard) : null,
    started: new Date().toISOString(),
  }
}

/** The batch on its way: what becomes of each case is written down, counted and shown. */
class Batch {
  readonly #job: Job
  readonly #manifest: ManifestWriter
  readonly #superseded: Superseded
  readonly #total: number
  readonly #eta = new Eta()
  /** Cases at work: when they began, and the hash of what they are made from. */
  readonly #atWork = new Map<string, { readonly began: number; readonly content: ReturnType<typeof watchInput> }>()
  readonly #seconds: number[] = []
  /** How many may turn out to be done: until then they are taken for it. */
  #unchecked: number

  constructor(job: Job, manifest: ManifestWriter, superseded: Superseded, total: number, unchecked: number) {
    this.#job = job
    this.#manifest = manifest
    this.#superseded = superseded
    this.#total = total
    this.#unchecked = unchecked
    job.progress.begin('infer', total)
  }

  /** Cases become samples as they are pulled; from then on they are at work. */
  async *samples(
    cases: AsyncIterable<Case>,
    sampleOf: (found: Case) => Sample,
    signal: AbortSignal,
  ): AsyncGenerator<Sample> {
    for await (const found of cases) {
      this.#atWork.set(found.id, { began: performance.now(), content: watchInput(found, signal) })
      this.#eta.began()
      yield sampleOf(found)
    }
  }

  /** Whether one of the lines is true of the case; then it is skipped. */
  async isDone(found: Case, lines: readonly CaseLine[], signal: AbortSignal): Promise<boolean> {
    const { folder, cases } = this.#job
    const line = await findDone(found, lines, folder.output, signal)
    // Who was interrupted knows nothing of the case.
    if (signal.aborted) return true
    this.#unchecked -= 1
    if (!line) return false
    this.#moveAside(found.id, line.outputs)
    // Not flushed: what it says stands above it.
    await this.#manifest.append({ ...line, status: 'skipped', reason: 'done before' }, false)
    cases.skip()
    this.#tell({ case: found.id, status: 'skipped' })
    return true
  }

  async item(item: Item): Promise<void> {
    const prediction = item as Prediction
    const { case: found, windows, seconds } = prediction
    // What is left to do takes none of the case's voxels.
    prediction.claim?.release()
    const { folder, cases } = this.#job
    const outputs = await outputsOf(prediction.files, folder.output)
    const content = await this.#contentOf(found.id)
    this.#moveAside(found.id, outputs)
    await this.#manifest.append({ case: found.id, status: 'ok', windows, seconds, content, outputs }, true)
    cases.succeed(found.id)
    this.#end(found.id)
    this.#seconds.push(seconds)
    const facts = { case: found.id, windows, seconds }
    folder.appendLine('metrics.jsonl', facts)
    this.#tell({ ...facts, status: 'ok' }, [`${windows} windows`, `${seconds.toFixed(1)} s`])
  }

  async caseFailed(error: PipelineError): Promise<void> {
    const id = String(error.facts['case'] ?? 'unknown')
    const began = this.#atWork.get(id)?.began
    const facts = {
      case: id,
      status: 'failed' as const,
      reason: error.message,
      stage: String(error.facts['stage'] ?? ''),
      code: error.code,
      seconds: began === undefined ? 0 : (performance.now() - began) / 1000,
    }
    const written = (error.facts['files'] ?? []) as readonly string[]
    for (const path of written) await rm(join(this.#job.folder.output, path), { force: true })
    // What an earlier run made of another scan, or with another model, is not this case's result.
    this.#moveAside(id, [])
    await this.#manifest.append({ ...facts, content: await this.#contentOf(id), outputs: [] }, true)
    this.#end(id)
    this.#job.cases.fail(error)
    this.#tell(facts)
  }

  result(): TaskResult {
    const { ok, failed, skipped } = this.#job.cases.counts
    const before = skipped > 0 ? `, ${skipped} done before` : ''
    return {
      metrics: { secondsPerCase: distribution(this.#seconds) },
      lines: [`${ok} masks of ${counted(this.#total, 'case')}${before}${failed > 0 ? `, ${failed} failed` : ''}`],
    }
  }

  async #contentOf(id: string): Promise<string | null> {
    const content = await this.#atWork.get(id)?.content
    return content ? content() : null
  }

  #moveAside(id: string, kept: readonly OutputFile[]): void {
    const moved = this.#superseded.moveAside(id, kept)
    if (moved > 0)
      this.#job.progress.note(`${id}: ${counted(moved, 'file')} of an earlier run moved aside, into superseded/`)
  }

  #end(id: string): void {
    if (this.#atWork.delete(id)) this.#eta.ended()
  }

  get #done(): number {
    const { ok, failed, skipped } = this.#job.cases.counts
    return ok + failed + skipped
  }

  #secondsLeft(): number | undefined {
    return this.#eta.left(this.#total - this.#done - this.#unchecked)
  }

  /** Of a case that has ended, however it did; the line is for people and needs `words`. */
  #tell(facts: Readonly<Record<string, unknown>> & { readonly case: string }, words: readonly string[] = []): void {
    const { progress } = this.#job
    const left = this.#secondsLeft()
    const text = [`${this.#done}/${this.#total}`, facts.case, ...words, ...(left ? [leftText(left)] : [])].join('  ')
    progress.event(
      'case',
      { ...facts, done: this.#done, total: this.#total, ...(left !== undefined && { secondsLeft: left }) },
      words.length > 0 ? text : '',
    )
    progress.advance(this.#done, undefined, left)
  }
}

/** Sizes and hashes of a case's files, `files` being relative to the folder. */
async function outputsOf(files: readonly string[], folder: string): Promise<OutputFile[]> {
  const outputs: OutputFile[] = []
  for (const path of files) {
    const at = join(folder, path)
    try {
      outputs.push({ path, bytes: (await stat(at)).size, sha256: await fileHash(at) })
    } catch (error) {
      throw notWritable(at, error)
    }
  }
  return outputs
}
