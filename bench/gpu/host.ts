/**
 * `bench -- gpu-host`: what a training step costs the program itself. Dawn's null backend takes every command and computes nothing, so
 * that what is left is recording, binding and uploading; it needs no GPU.
 */

import * as tf from '@tensorflow/tfjs'
import type { GpuBackend } from '../../engine/backends/webgpu/backend.ts'
import { useDevice } from '../../engine/backends/webgpu/start.ts'
import { batchGradients, inputsOf } from '../../engine/gradients.ts'
import * as ops from '../../engine/ops/index.ts'
import { defaultAdam } from '../../model/adam.ts'
import { initialWeights } from '../../model/init.ts'
import { publishedLoss } from '../../model/loss.ts'
import { publishedSegresnet, segresnet, segresnetParameters } from '../../model/segresnet.ts'
import { engineShape, toEngineOrder } from '../../model/weights.ts'
import type { Bench, Trial } from '../trial.ts'

const count = 8
/** The calls do not depend on it, and the null backend lends half a gigabyte only. */
const extents = [16, 64, 64] as const

/** Dawn's instances must outlive their devices; nothing else holds them. */
const held: unknown[] = []

async function nullBackend(): Promise<{ backend: GpuBackend; dispatches: () => number }> {
  const { create, globals } = await import('webgpu')
  Object.assign(globalThis, globals)
  const instance = create(['backend=null'])
  held.push(instance)
  const adapter = await instance.requestAdapter()
  const backend = await useDevice(await adapter!.requestDevice())
  let dispatches = 0
  const run = backend.run.bind(backend)
  backend.run = (...call) => {
    dispatches++
    run(...call)
  }
  return { backend, dispatches: () => dispatches }
}

function stepTrial(name: string, together: boolean): Trial {
  let step: (() => Promise<number>) | undefined
  let inOneStep = 0
  return {
    name: `gpu-host/train-step/batch-${count}/${name}`,
    unit: 'ms',
    runs: 9,
    async prepare() {
      const { backend, dispatches } = await nullBackend()
      const specs = segresnetParameters(publishedSegresnet)
      const weights = initialWeights(specs, 1)
      const slots = specs.map(({ name: parameter, shape }) => {
        const zeros = (): tf.Variable => tf.variable(tf.zeros(engineShape(shape)))
        const values = toEngineOrder(weights.get(parameter)!.data, shape)
        return {
          name: parameter,
          parameter: tf.variable(tf.tensor(values, engineShape(shape))),
          expAvg: zeros(),
          expAvgSq: zeros(),
        }
      })
      const parameters = new Map(slots.map(slot => [slot.name, slot.parameter]))
      const voxels = count * extents[0] * extents[1] * extents[2]
      const [d, h, w] = extents
      const batch = {
        image: new Float32Array(voxels),
        label: new Uint8Array(voxels),
        count,
        shape: [w, h, d] as const,
        cases: [],
      }
      const inputs = inputsOf(batch, [1, ...extents], new Int32Array(voxels))
      let steps = 0
      step = async () => {
        await tf.setBackend('webgpu')
        const before = dispatches()
        const started = performance.now()
        const { gradients } = await batchGradients(
          count,
          [...parameters.values()],
          publishedLoss,
          {
            forward: (x, firstSample) =>
              segresnet(ops, parameters, x, publishedSegresnet, { seed: 1, step: steps, firstSample }),
            read: tensor => backend.readInto(tensor),
            inputs,
          },
          together,
        )
        steps++
        slots.forEach((slot, i) => ops.adamUpdate(slot, gradients[i]!, defaultAdam, steps))
        tf.dispose(gradients)
        await backend.finished()
        inOneStep = dispatches() - before
        return performance.now() - started
      }
    },
    run: () => step!(),
    async close() {
      const backend = tf.backend() as unknown as GpuBackend
      tf.disposeVariables()
      backend.close()
    },
    facts: () => ({ dispatches: inOneStep }),
  }
}

export const bench: Bench = { trials: [stepTrial('one by one', false), stepTrial('together', true)] }
