/**
 * Our own stages as a contender: a program that network/contender.ts starts. With Node's --expose-gc the network computes
 * nothing, and a repetition tells how many bytes lived at most beside it.
 */

import { mkdirSync } from 'node:fs'
import { openEngine } from '../../engine/engine.ts'
import { compose, drain } from '../../pipeline/compose.ts'
import { validateDefinition, type StageOptions } from '../../pipeline/definition.ts'
import { dryContext } from '../../pipeline/dry-context.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Prediction } from '../../pipeline/flow.ts'
import type { Context } from '../../pipeline/stage.ts'
import { peakRss } from '../../pipeline/summary.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { version } from '../../pipeline/version.ts'
import { peakLiveBytes } from '../load/live.ts'
import type { Repetition } from '../network/contender.ts'
import { engineOptions, voxelsOf } from '../network/work.ts'
import { serve } from '../serve.ts'
import type { InferWork } from './work.ts'

let work: InferWork | undefined
let engine: Engine | undefined
let windows = 0

/** Logits that are nothing, in the memory that is given. */
const silent = {
  info: { classes: 2 },
  infer: async (_windows: Float32Array, _count: number, _shape: unknown, to: Float32Array) => to.fill(0),
} as unknown as Engine

/** As a definition has them, with every default filled in. */
function stagesOf({ spacing, min, max, window, overlap, windowBatch, folder }: InferWork): readonly StageOptions[] {
  const definition = {
    task: 'infer',
    dataset: { directory: folder },
    network: { kind: 'segresnet', weights: 'those of the engine' },
    stages: [
      { kind: 'load', keys: ['image'] },
      { kind: 'channel-first' },
      { kind: 'resample', spacing },
      { kind: 'clip', min, max },
      { kind: 'crop-foreground' },
      { kind: 'infer', window, overlap, windowBatch },
      { kind: 'save', folder: 'masks' },
    ],
    output: folder,
  }
  return validateDefinition(definition, folder).stages
}

async function inferred(with_: Engine): Promise<Prediction> {
  const { image, folder } = work!
  mkdirSync(folder, { recursive: true })
  const context: Context = { ...dryContext('counter', with_), folder, scratch: folder }
  const predictions: Prediction[] = []
  await drain([sampleOf({ id: 'ours', index: 0, image }, 0)], compose(stagesOf(work!), context).at(-1)!, {
    item: item => void predictions.push(item as Prediction),
    caseFailed: error => {
      throw error
    },
  })
  windows = predictions[0]!.windows
  return predictions[0]!
}

/** The network alone, window after window, on noise. */
async function windowSeconds(): Promise<Repetition> {
  const { window } = work!
  const { image } = voxelsOf({ batch: 1, shape: window })
  const to = new Float32Array(new SharedArrayBuffer(image.byteLength * 2))
  const started = performance.now()
  for (let i = 0; i < windows; i++) await engine!.infer(image, 1, window, to)
  return { seconds: (performance.now() - started) / 1000, outcome: [windows] }
}

async function repeat(): Promise<Repetition> {
  if (globalThis.gc) {
    const bytes = await peakLiveBytes(globalThis.gc, async () => {
      await inferred(silent)
      return 0
    })
    return { seconds: 0, outcome: [bytes] }
  }
  if (work!.what === 'windows') return windowSeconds()
  const started = performance.now()
  await inferred(engine!)
  return { seconds: (performance.now() - started) / 1000, outcome: [windows] }
}

await serve<InferWork>({
  async prepare(wanted) {
    work = wanted
    if (globalThis.gc) return
    engine = await openEngine(
      engineOptions({ ...wanted, task: 'window', batch: 1, shape: wanted.window, precision: 'float32' }),
    )
    if (wanted.what === 'windows') await inferred(silent) // tells how many
  },
  repeat,
  report: () => ({ peakBytes: peakRss(), facts: { ctflow: version(), windows } }),
})
await engine?.close()
