/** Bytes that live at most, for a scan and for one of four times the planes. */

import { startContender, type Command } from '../network/contender.ts'
import type { Bench, Trial } from '../trial.ts'
import { scanShape } from './scan.ts'

/** The work on files that are written when it is first asked for. */
export interface LiveFiles {
  readonly work: () => Promise<object>
  readonly remove: () => Promise<void>
}

export interface LiveOptions {
  /** Of the trials, before the shape. */
  readonly name: string
  /** Whose outcome begins with bytes. */
  readonly command: Command
  readonly files: (times: number) => LiveFiles
  /** What is counted, for people. */
  readonly counted: string
}

export function liveBench(options: LiveOptions): Bench {
  const lengths = [1, 4].map(times => ({ times, files: options.files(times) }))
  const [short, long] = lengths.map(({ times, files }) => liveTrial(options, times, files)) as [Trial, Trial]
  return {
    trials: [short, long],
    comparisons: [{ name: `${options.name}/4-times-the-planes`, unit: 'times', of: [long.name], over: short.name }],
    interleaved: true,
    async close() {
      for (const { files } of lengths) await files.remove()
    },
  }
}

/** Megabytes; each time in a fresh process. */
function liveTrial({ name, command, counted }: LiveOptions, times: number, files: LiveFiles): Trial {
  let peakBytes = 0
  return {
    name: `${name}/${scanShape[0]}x${scanShape[1]}x${scanShape[2] * times}`,
    unit: 'MB',
    runs: 3,
    prepare: async () => void (await files.work()),
    async run() {
      const contender = startContender(command)
      try {
        await contender.prepare(await files.work())
        const { outcome } = await contender.repeat()
        peakBytes = Math.max(peakBytes, (await contender.report()).peakBytes)
        return outcome[0]! / 1e6
      } finally {
        await contender.close()
      }
    },
    peakBytes: () => peakBytes,
    facts: () => ({ counted }),
  }
}
