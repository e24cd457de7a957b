/** The whole network in a fresh process: seconds of a repetition, and the process's peak of memory. */

import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { envelope } from '../../schemas/envelope.ts'
import { loadAddon } from '../../native/addon.ts'
import type { Facts, Trial } from '../trial.ts'
import { startContender, type Command, type Contender, type Repetition } from './contender.ts'
import { nameOf, type Work } from './work.ts'

export interface Entrant {
  readonly command: Command
  /** What `prepare` is told. */
  readonly work: object
}

/** Our own engine. */
export function ours(work: Work): Entrant {
  const own = fileURLToPath(import.meta.url)
  const file = fileURLToPath(new URL(`./ours${extname(own)}`, import.meta.url))
  return { command: { file: process.execPath, args: [file], timeoutSeconds: 600 }, work }
}

/** Why our engine cannot do this work in this version or here. */
export async function unavailable({ precision }: Work): Promise<string | undefined> {
  const known: readonly string[] = envelope.properties.engine.properties.precision.enum
  if (!known.includes(precision)) return `the engine has no precision "${precision}" in this version`
  if (precision === 'bfloat16' && loadAddon().peak('bfloat16', 0.001) === null)
    return 'this processor has no instructions for bfloat16 products'
  return undefined
}

export interface NetworkTrialOptions extends Pick<Trial, 'name' | 'runs' | 'against' | 'unavailable'> {
  readonly entrant: () => Promise<Entrant> | Entrant
  /** Sees the first repetition, which is not timed, and throws where it is wrong. */
  readonly check?: (first: Repetition) => void
}

export function entrantTrial({ name, runs, against, unavailable, entrant, check }: NetworkTrialOptions): Trial {
  let contender: Contender | undefined
  let checked = false
  let facts: Facts = {}
  return {
    name,
    unit: 's',
    runs,
    ...(against && { against }),
    ...(unavailable && { unavailable }),
    async prepare() {
      const { command, work } = await entrant()
      contender = startContender(command)
      await contender.prepare(work)
    },
    pid: () => contender?.pid,
    async run() {
      const repetition = await contender!.repeat()
      if (!checked) check?.(repetition)
      checked = true
      return repetition.seconds
    },
    async peakBytes() {
      const report = await contender!.report()
      facts = report.facts
      return report.peakBytes
    },
    facts: () => facts,
    async close() {
      await contender?.close()
      contender = undefined
    },
  }
}

/** A trial of ours. What is checked is that it computed something: its numbers are the tests' concern. */
export function networkTrial(work: Work, runs: number, name = nameOf(work)): Trial {
  return entrantTrial({
    name,
    runs,
    unavailable: () => unavailable(work),
    entrant: () => ours(work),
    check: ({ outcome }) => {
      if (!outcome.every(Number.isFinite)) throw new Error(`expected finite numbers, found ${outcome.join(', ')}`)
    },
  })
}
