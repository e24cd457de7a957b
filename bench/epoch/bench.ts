/** An epoch of training, once all is cached, against its steps alone: what everything beside the engine costs. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { entrantTrial } from '../network/network-trial.ts'
import type { Bench, Trial } from '../trial.ts'
import type { EpochWork } from './work.ts'

function benchOf(training: EpochWork['training']): Bench {
  let folder = ''
  const trial = (what: EpochWork['what'], name: string): Trial => ({
    ...entrantTrial({
      name,
      runs: 3,
      entrant() {
        folder ||= mkdtempSync(join(tmpdir(), 'ctflow-bench-epoch-'))
        const own = fileURLToPath(import.meta.url)
        const file = fileURLToPath(new URL(`./ours${extname(own)}`, import.meta.url))
        const work: EpochWork = { what, training, folder }
        return { command: { file: process.execPath, args: [file], timeoutSeconds: 300 }, work }
      },
      check({ outcome }) {
        if (!outcome.every(Number.isFinite)) throw new Error(`expected finite losses, found ${outcome.join(', ')}`)
      },
    }),
    // A repetition's processor time is not an epoch's: the run begins anew.
    unit: 's/epoch',
  })
  const name = `epoch/${training}`
  const alone = `${name}/steps-alone`
  return {
    trials: [trial('epoch', name), trial('steps', alone)],
    comparisons: [{ name, unit: 'times its steps alone', of: [name], over: alone }],
    interleaved: true,
    close: async () => {
      if (folder !== '') rmSync(folder, { recursive: true, force: true })
    },
  }
}

export const benches: readonly Bench[] = [benchOf('published'), benchOf('small')]
