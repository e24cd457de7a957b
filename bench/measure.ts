/** Runs benches: in turns where asked, again where others were in the way, and one trial's failure is not another's. */

import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../pipeline/errors.ts'
import { watchUsage, type Usage } from './contention.ts'
import { medianOf, pairwiseRatios, spreadOf } from './statistics.ts'
import type { Bench, Compared, Comparison, Measured, Result, Trial } from './trial.ts'

/** Above this share of processor time that others took a repetition is made again. */
const mostContention = 0.05
/** How often, by how long it takes: a busy machine must not make a benchmark endless. */
const attemptsFor = (seconds: number): number => (seconds < 0.5 ? 6 : seconds < 5 ? 2 : 1)

/** Threads of OpenMP spin for 0.2 s after their work, and would do so beside the next process's: twice that, to be sure. */
const settlingMs = 400

/** A trial under way. */
interface Course {
  readonly trial: Trial
  readonly values: number[]
  readonly shares: number[]
  readonly usages: Usage[]
  /** Why it ended early. */
  failed?: string
}

/** Calls `onResult` with every result as it is complete, in the order of trials, then of comparisons. */
export async function runBench(
  { trials, comparisons = [], interleaved = false, close }: Bench,
  onResult: (result: Result) => void = () => {},
): Promise<Result[]> {
  try {
    return await runAll(trials, comparisons, interleaved, onResult)
  } finally {
    await close?.()
  }
}

async function runAll(
  trials: readonly Trial[],
  comparisons: readonly Comparison[],
  interleaved: boolean,
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const results: Result[] = []
  const tell = (result: Result): void => {
    results.push(result)
    onResult(result)
  }
  const able: Trial[] = []
  for (const trial of trials) {
    const reason = await trial.unavailable?.()
    if (reason === undefined) able.push(trial)
    else tell({ trial: trial.name, ...(trial.against && { against: trial.against }), skipped: reason })
  }
  const groups = interleaved ? [able] : able.map(trial => [trial])
  for (const group of groups) for (const result of await runTogether(group)) tell(result)
  const measured = new Map(
    results.filter(result => 'values' in result).map(result => [result.trial, result as Measured]),
  )
  for (const comparison of comparisons) {
    const compared = compare(comparison, measured)
    if (compared) tell(compared)
  }
  return results
}

async function runTogether(trials: readonly Trial[]): Promise<Result[]> {
  const courses: Course[] = trials.map(trial => ({ trial, values: [], shares: [], usages: [] }))
  try {
    for (const course of courses) await attempt(course, async () => course.trial.prepare?.())
    const rounds = Math.max(0, ...trials.map(({ runs }) => runs))
    for (let round = 0; round <= rounds; round++) {
      for (const course of courses) {
        if (course.failed === undefined && round <= course.trial.runs)
          await attempt(course, () => repeat(course, round === 0))
      }
    }
    const results: Result[] = []
    for (const course of courses) results.push(await resultOf(course))
    return results
  } finally {
    for (const { trial } of courses) await trial.close?.()
  }
}

async function attempt(course: Course, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    course.failed ??= messageOf(error)
  }
}

/** One repetition, the quietest of several where others were in the way. */
async function repeat({ trial, values, shares, usages }: Course, warmUp: boolean): Promise<void> {
  let best: { value: number; share: number | undefined; usage: Usage | undefined } | undefined
  let most = 1
  for (let tried = 0; tried < most; tried++) {
    if (trial.pid) await pause(settlingMs)
    const started = performance.now()
    const pid = trial.pid ? trial.pid() : process.pid
    const watch = pid === undefined ? () => undefined : watchUsage(pid)
    const value = await trial.run()
    const usage = watch()
    if (warmUp) return
    if (tried === 0) most = attemptsFor((performance.now() - started) / 1000)
    const share = trial.peak && value / trial.peak()
    if (!best || usage!.contention < best.usage!.contention) best = { value, share, usage }
    if (!usage || usage.contention <= mostContention) break
  }
  values.push(best!.value)
  if (best!.share !== undefined) shares.push(best!.share)
  if (best!.usage) usages.push(best!.usage)
}

async function resultOf({ trial, values, shares, usages, failed }: Course): Promise<Result> {
  const against = trial.against && { against: trial.against }
  if (failed !== undefined) return { trial: trial.name, ...against, failed }
  return {
    trial: trial.name,
    ...against,
    unit: trial.unit,
    ...spreadOf(values),
    runs: values.length,
    values,
    ...(shares.length > 0 && { shareOfPeak: spreadOf(shares) }),
    ...(trial.necessary !== undefined && { necessary: trial.necessary }),
    ...(trial.peakBytes && { peakBytes: await trial.peakBytes() }),
    ...(usages.length > 0 && { contention: medianOf(usages.map(({ contention }) => contention)) }),
    ...(trial.unit === 's' &&
      usages.length === values.length && { processorSeconds: usages.map(usage => usage.processorSeconds) }),
    ...(trial.facts && { facts: trial.facts() }),
  }
}

/** undefined where a trial that it needs has no figures. */
export function compare(comparison: Comparison, measured: ReadonlyMap<string, Measured>): Compared | undefined {
  const { name, unit, of, over, scale = 1, figure, against } = comparison
  const figuresOf = (trial: string): Measured | undefined => {
    const found = measured.get(trial)
    if (!found || figure === undefined) return found
    const value = found[figure]
    const { processorSeconds: _, ...rest } = found
    return value === undefined ? undefined : { ...rest, ...spreadOf([value]), runs: 1, values: [value] }
  }
  const reference = figuresOf(over)
  const candidates = of.map(figuresOf).filter(result => result !== undefined)
  const best = candidates.toSorted((a, b) => a.median - b.median)[0]
  if (!reference || !best) return undefined
  const ratiosOf = (ours: readonly number[], theirs: readonly number[]): number[] => {
    const rounds = Math.min(ours.length, theirs.length)
    return pairwiseRatios(ours.slice(0, rounds), theirs.slice(0, rounds)).map(ratio => ratio * scale)
  }
  const ratios = ratiosOf(best.values, reference.values)
  return {
    trial: name,
    ...(against && { against }),
    unit,
    ...spreadOf(ratios),
    runs: ratios.length,
    values: ratios,
    ...(best.processorSeconds &&
      reference.processorSeconds && {
        ofProcessorTime: spreadOf(ratiosOf(best.processorSeconds, reference.processorSeconds)),
      }),
    pair: [best.trial, over],
  }
}
