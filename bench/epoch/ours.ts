/** A training, or its engine alone, as a contender: a program that network/contender.ts starts. */

import { rmSync } from 'node:fs'
import type { Definition } from '../../pipeline/definition.ts'
import type { Progress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import type { Batch, Engine } from '../../pipeline/engine.ts'
import { peakRss } from '../../pipeline/summary.ts'
import { version } from '../../pipeline/version.ts'
import { openEngineFor } from '../../stages/engine.ts'
import type { Repetition } from '../network/contender.ts'
import { voxelsOf } from '../network/work.ts'
import { medianOf } from '../statistics.ts'
import { serve } from '../serve.ts'
import { definitionOf, stepsOf, type EpochWork } from './work.ts'

let work: EpochWork | undefined
let definition: Definition | undefined
let engine: Engine | undefined
let batch: Batch | undefined
/** Of all threads of this process, by epoch. */
const processorSeconds: number[] = []

/** Starts a stopwatch of seconds, and of seconds of processor time, which others disturb less. */
function watch(): () => { readonly seconds: number; readonly processor: number } {
  const [started, usage] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(usage)
    return { seconds: (performance.now() - started) / 1000, processor: (user + system) / 1e6 }
  }
}

/** A run from its start; the median of its epochs after the first, from the first case to the checkpoint. */
async function epochSeconds(): Promise<Repetition> {
  const seconds: number[] = []
  const losses: number[] = []
  let stop = watch()
  const progress: Progress = {
    note() {},
    status() {},
    stages() {},
    advance() {},
    begin: () => void (stop = watch()),
    event(name, values) {
      if (name !== 'epoch') return
      const spent = stop()
      // The first fills the cache.
      if (losses.length > 0) {
        seconds.push(spent.seconds)
        processorSeconds.push(spent.processor)
      }
      losses.push(values['loss'] as number)
    },
    close() {},
  }
  const result = await run(definition!, { progress })
  rmSync(definition!.output, { recursive: true, force: true })
  if (result.status !== 'ok') throw new Error(result.error ?? result.status)
  return { seconds: medianOf(seconds), outcome: losses }
}

/** As many steps as an epoch has, always of the same batch. */
async function stepSeconds(): Promise<Repetition> {
  const losses: number[] = []
  const stop = watch()
  for (let i = 0; i < stepsOf(definition!).steps; i++) losses.push((await engine!.step(batch!)).loss)
  const { seconds, processor } = stop()
  processorSeconds.push(processor)
  return { seconds, outcome: losses }
}

await serve<EpochWork>({
  async prepare(wanted) {
    work = wanted
    definition = definitionOf(wanted)
    if (wanted.what === 'epoch') return
    const { batch: count, patch } = stepsOf(definition)
    engine = await openEngineFor(definition)
    batch = { ...voxelsOf({ batch: count, shape: patch }), count, shape: patch, cases: ['bench'] }
  },
  repeat: () => (work!.what === 'epoch' ? epochSeconds() : stepSeconds()),
  report: () => ({
    peakBytes: peakRss(),
    facts: {
      ctflow: version(),
      steps: stepsOf(definition!).steps,
      'seconds of processor time': Number(medianOf(processorSeconds).toFixed(3)),
    },
  }),
})
await engine?.close()
