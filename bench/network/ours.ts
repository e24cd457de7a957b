/** Our own engine as a contender: a program that network/contender.ts starts. */

import { openEngine, type EngineWithReport } from '../../engine/engine.ts'
import type { Batch } from '../../pipeline/engine.ts'
import { formatBytes } from '../../pipeline/bytes.ts'
import { peakRss } from '../../pipeline/summary.ts'
import { version } from '../../pipeline/version.ts'
import { engineOptions, sampledVoxels, voxelsOf, type Work } from './work.ts'
import { serve } from '../serve.ts'
import type { Repetition, Report } from './contender.ts'

let work: Work | undefined
let engine: EngineWithReport | undefined
let batch: Batch | undefined

async function prepare(wanted: Work): Promise<void> {
  work = wanted
  engine = await openEngine(engineOptions(wanted))
  if (engine.info.precision !== wanted.precision)
    throw new Error(`asked for ${wanted.precision}, the engine computes in ${engine.info.precision}`)
  batch = { ...voxelsOf(wanted), count: wanted.batch, shape: wanted.shape, cases: ['bench'] }
}

async function repeat(): Promise<Repetition> {
  const atLeast = work!.seconds ?? 0
  const started = performance.now()
  const seconds = (): number => (performance.now() - started) / 1000
  let outcome: number[]
  let times = 0
  do {
    outcome = await once()
    times += 1
  } while (seconds() < atLeast)
  return { seconds: seconds() / times, outcome }
}

async function once(): Promise<number[]> {
  const { image, count, shape } = batch!
  if (work!.task === 'train-step') return [(await engine!.step(batch!)).loss]
  const logits = await engine!.infer(image, count, shape)
  const classes = engine!.info.classes
  // (z, y, x, class)
  return sampledVoxels(shape).flatMap(voxel => [...logits.subarray(voxel * classes, (voxel + 1) * classes)])
}

async function report(): Promise<Report> {
  const { fallbacks, peakDeviceBytes } = await engine!.report()
  const slow = Object.keys(fallbacks).join(' ')
  return {
    peakBytes: peakRss(),
    facts: {
      ctflow: version(),
      device: engine!.info.device,
      ...(peakDeviceBytes > 0 && { 'device memory': formatBytes(peakDeviceBytes) }),
      ...(slow !== '' && { fallbacks: slow }),
    },
  }
}

await serve({ prepare, repeat, report })
await engine?.close()
