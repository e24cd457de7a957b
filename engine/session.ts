/**
 * The network, its optimiser and their tensors: what an engine does, without the thread around it. Typed arrays in and
 * out, tensors never.
 */

import * as tf from '@tensorflow/tfjs'
import type { Tensor5D, Variable } from '@tensorflow/tfjs'
import { adamState } from '../model/adam.ts'
import { initialWeights } from '../model/init.ts'
import { sizeOf, type ParameterSpec } from '../model/parameters.ts'
import { checkSegresnet, checkSpatialShape, segresnet, segresnetParameters, type Training } from '../model/segresnet.ts'
import { checkCheckpoint, engineShape, fromEngineOrder, toEngineOrder } from '../model/weights.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { Batch, EngineInfo, EngineNeed, EngineWork, StepResult, Tensors } from '../pipeline/engine.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { startBackend } from './backend.ts'
import { batchGradients, inputsOf, sampleGradients, type SampleWork } from './gradients.ts'
import { bytesOfWork, voxelsOf } from './need.ts'
import * as ops from './ops/index.ts'
import type { EngineOptions, EngineReport } from './options.ts'

export interface Session {
  readonly info: EngineInfo
  step(batch: Batch): Promise<StepResult>
  infer(windows: Float32Array, count: number, shape: Shape3, to?: Float32Array): Promise<Float32Array>
  save(options?: { optimizer?: boolean }): Promise<Tensors>
  load(tensors: Tensors): Promise<void>
  setLearningRate(learningRate: number): Promise<void>
  need(work: EngineWork): Promise<EngineNeed>
  canHold(deviceBytes: number): Promise<boolean>
  report(): Promise<EngineReport>
  /** Frees all tensors. */
  close(): void
}

interface Slot {
  readonly spec: ParameterSpec
  readonly parameter: Variable
  /** Only for training. */
  readonly moments?: { readonly expAvg: Variable; readonly expAvgSq: Variable }
}

/** Starts the backend and draws the initial weights. ERR_DEFINITION for a network that cannot be, ERR_ENGINE otherwise. */
export async function openSession(options: EngineOptions): Promise<Session> {
  const { network, loss: lossOptions, optimizer, seed } = options
  const training = lossOptions && optimizer && { lossOptions, optimizer }
  checkSegresnet(network)
  if (network.inChannels !== 1) {
    throw new PipelineError(
      'ERR_DEFINITION',
      `/network/inChannels: expected 1, since a volume has one channel, found ${network.inChannels}`,
    )
  }
  const backend = await startBackend(options)
  const specs = segresnetParameters(network)
  const slots = variables(specs, initialWeights(specs, seed), training !== undefined)
  const trainable = slots.map(slot => slot.parameter)
  const parameters = new Map(slots.map(({ spec, parameter }) => [spec.name, parameter]))
  let stepsDone = 0
  let learningRate = optimizer?.learningRate ?? 0
  let peakBytes = 0
  let labels = new Int32Array(0)
  let largestWindow = 0
  /** Whether a step computes its samples together: a GPU does until they do not fit. The bits are the same. */
  let together = backend.onDevice

  const forward = (x: Tensor5D, at?: Training): Tensor5D => {
    const logits = segresnet(ops, parameters, x, network, at)
    peakBytes = Math.max(peakBytes, tf.memory().numBytes)
    return logits
  }

  const sampleWork = (inputs: SampleWork['inputs']): SampleWork => ({
    forward: (x, firstSample) => forward(x, { seed, step: stepsDone, firstSample }),
    read: tensor => backend.read(tensor),
    inputs,
  })

  /** Once more where a GPU's memory was short: what was kept for other work is given back by then. */
  const again = <T>(work: () => Promise<T>): Promise<T> =>
    work().catch((error: unknown) => {
      if (!backend.onDevice || !isShortOfMemory(error)) throw error
      return work()
    })

  /** Parameters with their optimiser's state. */
  const parameterBytes = 4 * specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0) * (training ? 3 : 1)

  /** What is held whatever the backend: parameters with their state, a sample's labels, a window's logits. */
  const ownBytes = (labelled: number, window: number): number =>
    parameterBytes + 4 * (labelled + window * network.outChannels)

  return {
    info: {
      backend: backend.name,
      precision: options.precision,
      threads: backend.threads,
      device: backend.device,
      reason: backend.reason,
      ...(backend.gpu && { gpu: backend.gpu }),
      classes: network.outChannels,
      parameters: specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    },

    async step(batch) {
      if (!training) throw inferenceOnly()
      const started = performance.now()
      const { count, cases } = batch
      checkSpatialShape(network, batch.shape)
      const shape = tensorShape(batch.image, count, batch.shape)
      const where = `step ${stepsDone + 1}`
      const found = (): ReturnType<typeof batchGradients> => {
        const voxels = batch.image.length / count
        const labelled = together ? count * voxels : voxels
        if (labels.length !== labelled) labels = new Int32Array(labelled)
        const inputs = inputsOf(batch, shape, labels)
        // Samples are looked at just before they are needed: a GPU is busy with those before.
        const work = sampleWork((first, samples) => {
          const [begin, end] = [first * voxels, (first + samples) * voxels]
          checkFinite(batch.image.subarray(begin, end), where, cases)
          checkLabels(batch.label.subarray(begin, end), network.outChannels, cases)
          return inputs(first, samples)
        })
        return batchGradients(count, trainable, training.lossOptions, work, together)
      }
      const { loss, gradients } = await allocating(batch, () =>
        again(found).catch((error: unknown) => {
          if (!together || count === 1 || !isShortOfMemory(error)) throw error
          together = false
          return again(found)
        }),
      )
      try {
        if (!Number.isFinite(loss)) throw notFinite(`the loss of step ${stepsDone + 1} is ${loss}`, cases)
        stepsDone++
        const rated = { ...training.optimizer, learningRate }
        slots.forEach(({ parameter, moments }, i) => {
          ops.adamUpdate({ parameter, ...moments! }, gradients[i]!, rated, stepsDone)
        })
        return { loss, patches: count, seconds: (performance.now() - started) / 1000, cases }
      } finally {
        tf.dispose(gradients)
      }
    },

    async infer(windows, count, shape, to) {
      checkSpatialShape(network, shape)
      const extents = tensorShape(windows, count, shape)
      checkFinite(windows, 'inference', [])
      const size = windows.length / Math.max(1, count)
      largestWindow = Math.max(largestWindow, size)
      const length = windows.length * network.outChannels
      const result = to ?? new Float32Array(new SharedArrayBuffer(length * 4))
      if (result.length !== length || !(result.buffer instanceof SharedArrayBuffer))
        throw new Error(`expected shared memory for ${length} logits, found ${result.length} numbers`)
      // Nothing in the network looks across samples: one at a time computes the same and needs the least memory.
      for (let n = 0; n < count; n++) {
        const window = windows.subarray(n * size, (n + 1) * size)
        const outputs = size * network.outChannels
        const compute = async (): Promise<void> => {
          const logits = tf.tidy(() => forward(tf.tensor5d(window, [...extents, 1])))
          await backend.read(logits, result.subarray(n * outputs, (n + 1) * outputs)).finally(() => tf.dispose(logits))
        }
        await allocating({ count: 1, shape }, () => again(compute))
      }
      return result
    },

    async save({ optimizer: withOptimizer = false } = {}) {
      const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>()
      const put = async (name: string, { shape }: ParameterSpec, variable: Variable): Promise<void> => {
        tensors.set(name, { shape, data: fromEngineOrder(await backend.read(variable), shape) })
      }
      for (const { spec, parameter } of slots) await put(spec.name, spec, parameter)
      if (withOptimizer && training) {
        for (const { spec, moments } of slots) await put(adamState.expAvg(spec.name), spec, moments!.expAvg)
        for (const { spec, moments } of slots) await put(adamState.expAvgSq(spec.name), spec, moments!.expAvgSq)
        tensors.set(adamState.step, { shape: [], data: Float32Array.of(stepsDone) })
      }
      return tensors
    },

    async load(tensors) {
      checkCheckpoint(tensors, specs)
      for (const { spec, parameter, moments } of slots) {
        assign(parameter, spec, tensors.get(spec.name)!.data)
        if (!moments) continue
        const state = (name: string): Float32Array => tensors.get(name)?.data ?? new Float32Array(sizeOf(spec.shape))
        assign(moments.expAvg, spec, state(adamState.expAvg(spec.name)))
        assign(moments.expAvgSq, spec, state(adamState.expAvgSq(spec.name)))
      }
      stepsDone = tensors.get(adamState.step)?.data[0] ?? 0
    },

    async setLearningRate(rate) {
      learningRate = rate
    },

    async need(work) {
      const { step, windows } = work
      if (step && !training) throw inferenceOnly()
      for (const shape of [...(step ? [step.patch] : []), ...windows]) checkSpatialShape(network, shape)
      const before = peakBytes
      try {
        const bytes = await bytesOfWork(
          work,
          {
            gradients: (count, inputs, atOnce) => {
              const own = sampleWork(inputs)
              const { losses, gradients } = sampleGradients(count, trainable, training!.lossOptions, own, atOnce)
              tf.dispose([...losses, ...gradients])
            },
            logits: x => tf.dispose(forward(x)),
          },
          backend,
          2 ** (network.blocksDown.length - 1),
        )
        const labelled = step ? voxelsOf(step.patch) * (backend.onDevice ? step.batch : 1) : 0
        const own = ownBytes(labelled, Math.max(0, ...windows.map(voxelsOf)))
        const { onDevice } = backend
        return { bytes: own + (onDevice ? 0 : bytes), deviceBytes: onDevice ? bytes + parameterBytes : 0 }
      } finally {
        peakBytes = before // nothing of it was real
      }
    },

    async canHold(deviceBytes) {
      return (await backend.canHold?.(deviceBytes)) ?? true
    },

    async report() {
      const { numBytes, numTensors } = tf.memory()
      return {
        fallbacks: backend.fallbacks(),
        liveBytes: numBytes,
        peakBytes: Math.max(peakBytes, numBytes),
        liveTensors: numTensors,
        peakHeldBytes:
          (backend.onDevice ? 0 : (backend.peakBytes?.() ?? peakBytes)) + ownBytes(labels.length, largestWindow),
        peakDeviceBytes: backend.onDevice ? backend.peakBytes!() : 0,
      }
    },

    close() {
      for (const { parameter, moments } of slots) tf.dispose([parameter, { ...moments }])
      backend.close?.()
    },
  }
}

function inferenceOnly(): Error {
  return new Error('this engine was opened for inference, without a loss and an optimizer')
}

function variables(specs: readonly ParameterSpec[], weights: Tensors, trains: boolean): Slot[] {
  return specs.map(spec => {
    const zeros = (): Variable => variable(spec, new Float32Array(sizeOf(spec.shape)))
    const moments = trains ? { moments: { expAvg: zeros(), expAvgSq: zeros() } } : {}
    return { spec, parameter: variable(spec, weights.get(spec.name)!.data), ...moments }
  })
}

function variable(spec: ParameterSpec, data: Float32Array): Variable {
  return tf.tidy(() => tf.variable(tensorOf(spec, data)))
}

function assign(target: Variable, spec: ParameterSpec, data: Float32Array): void {
  tf.tidy(() => target.assign(tensorOf(spec, data)))
}

/** A tensor in the engine's axis order on memory of its own, since updates work in place. */
function tensorOf({ shape }: ParameterSpec, data: Float32Array): tf.Tensor {
  return tf.tensor(toEngineOrder(data, shape), engineShape(shape), 'float32')
}

/** (1, z, y, x), a sample's, after a look at the array's length; a wrong one is the caller's bug. ERR_DEFINITION without a patch. */
function tensorShape(voxels: Float32Array, count: number, [x, y, z]: Shape3): [number, number, number, number] {
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new PipelineError(
      'ERR_DEFINITION',
      `expected at least one patch of ${x} x ${y} x ${z} voxels, found ${count}; look at the batch size and at what was cropped`,
      { count, shape: [x, y, z] },
    )
  }
  if (voxels.length !== count * x * y * z) {
    throw new Error(`expected ${count} patches of ${x} x ${y} x ${z} voxels, found ${voxels.length} voxels`)
  }
  return [1, z, y, x]
}

/** Of a GPU, whose errors tell how much was asked for. */
function isShortOfMemory(error: unknown): boolean {
  // A buffer for an upload is the process's memory too, and its failure a RangeError.
  return (
    error instanceof RangeError ||
    (error instanceof PipelineError && error.code === 'ERR_ENGINE' && 'bytes' in error.facts)
  )
}

/** Says what to do about an allocation that failed. */
async function allocating<T>({ count, shape }: Pick<Batch, 'count' | 'shape'>, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    // A typed array's failure is a RangeError, the addon's an Error.
    if (!(cause instanceof Error && /alloc|out of memory/i.test(cause.message)) || cause instanceof PipelineError)
      throw cause
    throw new PipelineError(
      'ERR_ENGINE',
      `no memory for ${count} patches of ${shape.join(' x ')} voxels (${cause.message}); use a smaller batch or patch`,
      { count, shape },
      { cause },
    )
  }
}

function checkFinite(voxels: Float32Array, where: string, cases: readonly string[]): void {
  // Four sums, since each addition waits for the one before it.
  let [a, b, c, d] = [0, 0, 0, 0]
  let i = 0
  for (; i + 4 <= voxels.length; i += 4) {
    a += voxels[i]!
    b += voxels[i + 1]!
    c += voxels[i + 2]!
    d += voxels[i + 3]!
  }
  for (; i < voxels.length; i++) a += voxels[i]!
  if (!Number.isFinite(a + b + c + d)) throw notFinite(`the image of ${where} has voxels that are not finite`, cases)
}

function notFinite(what: string, cases: readonly string[]): PipelineError {
  const from = cases.length === 0 ? '' : ` (cases: ${cases.join(', ')})`
  return new PipelineError(
    'ERR_ENGINE',
    `${what}${from}. The weights are unchanged. Look for NaN or infinity in the image; in training, lower the learning rate`,
    { cases },
  )
}

function checkLabels(labels: Uint8Array, classes: number, cases: readonly string[]): void {
  const at = firstAbove(labels, classes)
  if (at === undefined) return
  const found = labels[at]!
  throw new PipelineError(
    'ERR_LABEL',
    `expected labels 0 to ${classes - 1}, the network's ${classes} classes, found ${found} (cases: ${cases.join(', ')}); map it with "map-label" or raise outChannels`,
    { found, classes, cases },
  )
}

function firstAbove(labels: Uint8Array, classes: number): number | undefined {
  for (let i = 0; i < labels.length; i++) if (labels[i]! >= classes) return i
  return undefined
}
