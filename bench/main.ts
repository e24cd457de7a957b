/** `npm run --silent bench -- NAME [--json]`: measures by name and prints a table, or one JSON object. */

import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { formatBytes } from '../pipeline/bytes.ts'
import { runTrial, type Result, type Trial } from './trial.ts'

const benches: Readonly<Record<string, () => Promise<readonly Trial[]>>> = {
  kernels: async () => (await import('./kernel-trials.ts')).trials(),
  peak: async () => (await import('./kernel-trials.ts')).peakTrials(),
  step: async () => (await import('./step.ts')).trials,
  metrics: async () => (await import('./metrics.ts')).trials,
}

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const name = positionals[0]
const bench = name === undefined ? undefined : benches[name]
if (!bench) {
  console.error(`usage: npm run --silent bench -- NAME [--json]; NAME is one of: ${Object.keys(benches).join(', ')}`)
  process.exitCode = 2
} else {
  const results: Result[] = []
  for (const trial of await bench()) {
    const result = await runTrial(trial)
    results.push(result)
    if (!values.json) console.log(row(result))
  }
  if (values.json) console.log(JSON.stringify({ name, machine: machine(), results }))
  else console.log(`${machine().cpu}, ${machine().threads} threads, Node ${process.version}`)
}

function machine(): { cpu: string; threads: number; memoryBytes: number; node: string; platform: string } {
  const processors = cpus()
  return {
    cpu: processors[0]?.model ?? 'unknown',
    threads: processors.length,
    memoryBytes: totalmem(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  }
}

function row({ trial, median, unit, runs, shareOfPeak, peakBytes }: Result): string {
  const share = shareOfPeak === undefined ? '' : `  ${(100 * shareOfPeak).toFixed(0)} % of peak`
  const memory = peakBytes === undefined ? '' : `  peak ${formatBytes(peakBytes)}`
  return `${trial.padEnd(52)} ${median.toFixed(median < 10 ? 3 : 1).padStart(9)} ${unit.padEnd(8)} (${runs} runs)${share}${memory}`
}
