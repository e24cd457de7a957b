/** Our own engine as a contender: a program that network/contender.ts starts. */

import { openEngine, type EngineWithReport } from '../../engine/engine.ts'
import type { Batch } from '../../pipeline/engine.ts'
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
  const { image, count, shape } = batch!
  const started = performance.now()
  if (work!.task === 'train-step') {
    const { loss } = await engine!.step(batch!)
    return { seconds: (performance.now() - started) / 1000, outcome: [loss] }
  }
  const logits = await engine!.infer(image, count, shape)
  const seconds = (performance.now() - started) / 1000
  const classes = engine!.info.classes
  // (z, y, x, class)
  const outcome = sampledVoxels(shape).flatMap(voxel => [...logits.subarray(voxel * classes, (voxel + 1) * classes)])
  return { seconds, outcome }
}

async function report(): Promise<Report> {
  const { fallbacks } = await engine!.report()
  const slow = Object.keys(fallbacks).join(' ')
  return {
    peakBytes: peakRss(),
    facts: { ctflow: version(), device: engine!.info.device, ...(slow !== '' && { fallbacks: slow }) },
  }
}

await serve({ prepare, repeat, report })
await engine?.close()
