/** The published network as a whole: one training step and one window, in the engine as users run it. */

import { openEngine, type EngineWithReport } from '../engine/engine.ts'
import { publishedSegresnet } from '../model/segresnet.ts'
import { rng } from '../pipeline/random.ts'
import type { Batch, Shape3 } from '../pipeline/stage.ts'
import { peakRss } from '../pipeline/summary.ts'
import type { Trial } from './trial.ts'

const shape: Shape3 = [224, 224, 32]
const loss = {
  kind: 'dice-ce',
  squaredPred: true,
  includeBackground: true,
  jaccard: false,
  batch: false,
  smoothNr: 1e-5,
  smoothDr: 1e-5,
  lambdaDice: 1,
  lambdaCe: 1,
} as const
const optimizer = { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const

/** A batch of noise with a block of lesion in it. */
function batchOf(count: number): Batch {
  const voxels = shape[0] * shape[1] * shape[2]
  const image = new Float32Array(new SharedArrayBuffer(count * voxels * 4))
  const label = new Uint8Array(new SharedArrayBuffer(count * voxels))
  const random = rng(0, 0, 0, 'bench')
  for (let i = 0; i < image.length; i++) image[i] = random.uniform()
  for (let i = 0; i < label.length; i++) label[i] = i % voxels > 0.9 * voxels ? 1 : 0
  return { image, label, count, shape, cases: ['bench'] }
}

let engine: EngineWithReport | undefined
let batch: Batch | undefined
const prepare = async (): Promise<void> => {
  engine = await openEngine({
    backend: 'native',
    precision: 'float32',
    threads: 'auto',
    network: publishedSegresnet,
    loss,
    optimizer,
    seed: 0,
  })
  batch = batchOf(1)
}
const close = async (): Promise<void> => {
  await engine?.close()
  engine = undefined
}

export const trials: readonly Trial[] = [
  {
    name: 'window/f8/224x224x32/float32',
    unit: 's',
    runs: 7,
    prepare,
    close,
    async run() {
      const started = performance.now()
      await engine!.infer(batch!.image, 1, shape)
      return (performance.now() - started) / 1000
    },
    peakBytes: peakRss,
  },
  {
    name: 'train-step/f8/224x224x32/float32',
    unit: 's',
    runs: 7,
    prepare,
    close,
    async run() {
      const started = performance.now()
      await engine!.step(batch!)
      return (performance.now() - started) / 1000
    },
    peakBytes: peakRss,
  },
]
