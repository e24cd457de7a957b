/**
 * `npm run --silent bench -- NAME [--json] [--only TEXT]`: measures by name and prints a table, or one JSON object. What
 * was measured as a whole is kept under build/bench; `results` writes it to bench/RESULTS.md.
 */

import { parseArgs } from 'node:util'
import { machine } from './machine.ts'
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
}

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
  allowPositionals: true,
})
const [name] = positionals
const measure = name === undefined ? undefined : benches[name]

if (name === 'results') {
  console.log(`${await writeResults(Object.keys(benches))} is written`)
} else if (name === undefined || !measure) {
  const names = [...Object.keys(benches), 'results'].join(', ')
  console.error(`usage: npm run --silent bench -- NAME [--json] [--only TEXT]; NAME is one of: ${names}`)
  process.exitCode = 2
} else {
  const select: Select = bench => ({ ...bench, trials: bench.trials.filter(trial => trial.name.includes(values.only)) })
  const results = await measure(result => values.json || console.log(row(result)), select)
  const where = machine()
  if (values.only === '') await keep({ name, machine: where, results })
  if (values.json) console.log(JSON.stringify({ name, machine: where, results }))
  else console.log(`${where.cpu}, ${where.threads} threads, ${where.isa}, Node ${where.node}, commit ${where.commit}`)
  if (results.some(result => isMissing(result) && result.failed !== undefined)) process.exitCode = 1
}
