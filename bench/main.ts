/**
 * `npm run --silent bench -- NAME [--json] [--only TEXT]`: measures by name and prints a table, or one JSON object. What
 * was measured as a whole is kept under build/bench; `results` writes it to bench/RESULTS.md.
 */

import { parseArgs } from 'node:util'
import { messageOf, PipelineError } from '../pipeline/errors.ts'
import { gpuFlags, gpuOptions, gpuUsage } from './gpu/options.ts'
import { machine, type Machine } from './machine.ts'
import { runBench } from './measure.ts'
import { row } from './rows.ts'
import { keep, writeResults } from './results.ts'
import { isMissing, type Bench, type Result } from './trial.ts'

type Tell = (result: Result) => void
type Select = (bench: Bench) => Bench
type Measure = (tell: Tell, select: Select) => Promise<readonly Result[]>

/** Modules are loaded when they are asked for: a process that measures memory holds nothing else. */
const benches: Readonly<Record<string, Measure>> = {
  peak: async (tell, select) => runBench(select((await import('./peak.ts')).bench), tell),
  kernels: async (tell, select) => runBench(select((await import('./kernels/bench.ts')).bench), tell),
  step: async (tell, select) => runBench(select((await import('./network/step.ts')).bench), tell),
  window: async (tell, select) => runBench(select((await import('./network/window.ts')).bench), tell),
  scaling: async (tell, select) => runBench(select((await import('./network/scaling.ts')).bench), tell),
  load: async (tell, select) => {
    const results: Result[] = []
    for (const bench of (await import('./load/bench.ts')).benches)
      results.push(...(await runBench(select(bench), tell)))
    return results
  },
  infer: async (tell, select) => {
    const results: Result[] = []
    for (const bench of (await import('./infer/bench.ts')).benches)
      results.push(...(await runBench(select(bench), tell)))
    return results
  },
  peers: async (tell, select) => {
    const results: Result[] = []
    for (const bench of (await import('./peers/bench.ts')).benches)
      results.push(...(await runBench(select(bench), tell)))
    return results
  },
  epoch: async (tell, select) => {
    const results: Result[] = []
    for (const bench of (await import('./epoch/bench.ts')).benches)
      results.push(...(await runBench(select(bench), tell)))
    return results
  },
  profile: async tell => {
    const { profileResults } = await import('./network/profile.ts')
    const results = [...(await profileResults('train-step')), ...(await profileResults('window'))]
    results.forEach(tell)
    return results
  },
  cache: async (tell, select) => [
    ...(await runBench(select({ trials: (await import('./cache.ts')).trials }), tell)),
    ...(await runBench(select((await import('./case-epochs.ts')).bench), tell)),
  ],
  memory: async tell => (await import('./memory.ts')).memoryResults(tell, values.only),
  metrics: async (tell, select) => {
    const results: Result[] = []
    for (const bench of (await import('./metrics.ts')).benches) results.push(...(await runBench(select(bench), tell)))
    return results
  },
  evaluate: async (tell, select) => runBench(select((await import('./evaluate.ts')).bench), tell),
  'gpu-host': async (tell, select) => runBench(select((await import('./gpu/host.ts')).bench), tell),
  gpu: async (tell, select) => {
    const { gpuResults } = await import('./gpu/bench.ts')
    const found = await gpuResults(gpuOptions(values), line => values.json || console.log(line), tell, select)
    device = found.device
    return found.results
  },
}

/** What else than the processor has computed. */
let device: string | undefined

// Options that are not there end it with their name, not with a stack.
process.once('uncaughtException', error => {
  if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) {
    console.error(error.message)
    process.exit(2)
  }
  console.error(error)
  process.exit(1)
})
const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, only: { type: 'string', default: '' }, ...gpuFlags },
  // Where npm does not take the dashes away: `./bench -- gpu` in a bundle.
  args: process.argv.slice(process.argv[2] === '--' ? 3 : 2),
  allowPositionals: true,
})
const [name] = positionals
const measure = name === undefined ? undefined : benches[name]
const foreign = Object.keys(gpuFlags).find(flag => name !== 'gpu' && flag in values)

if (name === 'results') {
  console.log(`${await writeResults(Object.keys(benches))} is written`)
} else if (name === undefined || !measure || foreign !== undefined) {
  const names = [...Object.keys(benches), 'results'].join(', ')
  if (foreign !== undefined) console.error(`--${foreign} is for "gpu" only`)
  console.error(`usage: npm run --silent bench -- NAME [--json] [--only TEXT]; NAME is one of: ${names}`)
  console.error(`of gpu also: ${gpuUsage}`)
  process.exitCode = 2
} else {
  const select: Select = bench => ({ ...bench, trials: bench.trials.filter(trial => trial.name.includes(values.only)) })
  try {
    await report(name, await measure(result => values.json || console.log(row(result)), select))
  } catch (error) {
    // An option that is wrong, or a GPU that is not there: nothing was measured.
    if (!(error instanceof PipelineError)) throw error
    console.error(error.message)
    process.exitCode = 2
  }
}

async function report(name: string, results: readonly Result[]): Promise<void> {
  const where: Machine = { ...machine(), ...(device !== undefined && { device }) }
  // Small shapes try whether all works; they say nothing.
  if (values.only === '' && !values.small)
    // What took an hour to measure is shown, be the folder read-only.
    await keep({ name, machine: where, results }).catch((error: unknown) =>
      console.error(`not kept: ${messageOf(error)}`),
    )
  if (values.json) console.log(JSON.stringify({ name, machine: where, results }))
  else console.log(`${where.cpu}, ${where.threads} threads, ${where.isa}, Node ${where.node}, commit ${where.commit}`)
  if (results.some(result => isMissing(result) && result.failed !== undefined)) process.exitCode = 1
}
