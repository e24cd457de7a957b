/** The network on an engine: forward, loss, gradients, the optimiser. Loads TensorFlow.js. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor4D, Tensor5D } from '@tensorflow/tfjs'
import * as ops from '../../../engine/ops/index.ts'
import { diceCrossEntropyParts } from '../../../engine/ops/dice-cross-entropy.ts'
import { openEngine, type EngineWithReport } from '../../../engine/engine.ts'
import type { DiceCeOptions } from '../../../model/loss.ts'
import { segresnetParameters, type SegresnetOptions } from '../../../model/segresnet.ts'
import type { Batch, Tensors } from '../../../pipeline/engine.ts'
import { withBackend, type TestedBackend } from '../backends.ts'
import { inTorchOrder, lossAndGradients, variablesOf } from '../network.ts'
import { maxDifference, norm, relativeDistance } from '../numbers.ts'
import { defaultAdam, engineOptions, publishedLoss } from '../options.ts'
import { largest, overCases, type Check } from './check.ts'
import type { References } from './references.ts'
import { networkOf, weightsOf } from './weights.ts'

/** On the native engine, which is what users get; `networkChecksOn` compares another. */
export const networkChecks = networkChecksOn('native')

export function networkChecksOn(backend: TestedBackend): readonly Check[] {
  return [
    {
      step: 'network, forward',
      quantity: 'logits',
      unit: 'of the logits',
      tolerance: 5e-5,
      run: async references => {
        const { network } = references.index
        if (!network) return undefined
        const { logits } = await trained(backend, references)
        return {
          difference: maxDifference(logits, references.channelsLast(network.logits).data),
          count: `${logits.length} logits`,
        }
      },
    },
    {
      step: 'loss',
      quantity: 'Dice + cross-entropy',
      unit: 'of the loss',
      tolerance: 1e-5,
      run: async references => {
        const { network, losses } = references.index
        const alone = await overCases(losses, 'sets of options', async entry =>
          Math.abs((await lossAlone(backend, references, entry)).loss - entry.loss),
        )
        if (!network) return alone
        const { loss } = await gradientsOf(backend, references)
        return { difference: largest([Math.abs(loss - network.loss), alone?.difference ?? 0]), count: '1 network' }
      },
    },
    {
      step: 'loss',
      quantity: 'its gradient for the logits',
      unit: 'relative L2',
      tolerance: 2e-4,
      run: references =>
        overCases(references.index.losses, 'sets of options', async entry =>
          relativeDistance(
            (await lossAlone(backend, references, entry)).gradient,
            references.channelsLast(entry.gradient).data,
          ),
        ),
    },
    {
      step: 'gradients',
      quantity: 'each that is listed, and of the input',
      unit: 'relative L2',
      tolerance: 2e-4,
      run: async references => {
        const { network } = references.index
        if (!network) return undefined
        const { gradients, input, options } = await gradientsOf(backend, references)
        const distances = Object.entries(network.grad).map(([name, file]) =>
          relativeDistance(inTorchOrder(options, name, gradients.get(name)!), references.numbers(file)),
        )
        const ofInput = relativeDistance(input, references.channelsLast(network.grad_input).data)
        return { difference: largest([...distances, ofInput]), count: `${distances.length + 1} gradients` }
      },
    },
    {
      step: 'gradients',
      quantity: 'norms of all tensors',
      unit: 'relative',
      tolerance: 2e-4,
      run: async references => {
        const { network } = references.index
        if (!network) return undefined
        const { gradients } = await gradientsOf(backend, references)
        const expected = Object.entries(network.grad_l2)
        if (expected.length !== gradients.size) return { difference: Infinity, count: `${expected.length} tensors` }
        const differences = expected.map(([name, l2]) => Math.abs(norm(gradients.get(name) ?? [NaN]) - l2) / l2)
        return { difference: largest(differences), count: `${expected.length} tensors` }
      },
    },
    {
      step: 'Adam, one update',
      quantity: 'parameter and moments from a given gradient and state',
      unit: 'of the value, or 1 where it is smaller',
      tolerance: 1e-6,
      run: references =>
        overCases(references.index.adam_updates, 'updates', entry => updateDifference(backend, references, entry)),
    },
    {
      step: 'Adam, five steps',
      quantity: 'losses',
      unit: 'of the loss',
      tolerance: 1e-4,
      run: async references => {
        const { adam } = references.index
        if (!adam) return undefined
        const { losses } = await trained(backend, references)
        const own = adam.own_distance_from_float64
        return {
          difference: maxDifference(losses, adam.loss_before_each_step),
          count: `${losses.length} losses${own ? `; PyTorch's own distance from float64 is ${own.losses.toExponential(1)}` : ''}`,
        }
      },
    },
    {
      step: 'Adam, five steps',
      quantity: 'displacement of all parameters',
      unit: 'relative L2',
      tolerance: 3e-2,
      run: async references => {
        const { adam } = references.index
        if (!adam) return undefined
        const { before, after } = await trained(backend, references)
        const expected = await weightsOf(references.path(adam.checkpoint_after))
        const own = adam.own_distance_from_float64
        return {
          difference: relativeDistance(displacement(before, after), displacement(before, expected)),
          count: `${before.size} tensors${own ? `; PyTorch's own distance from float64 is ${own.displacement.toExponential(1)}` : ''}`,
        }
      },
    },
    {
      step: 'Adam, five steps',
      quantity: 'logits afterwards',
      unit: 'root mean square',
      tolerance: 8e-3,
      run: async references => {
        const { adam } = references.index
        if (!adam) return undefined
        const { logitsAfter } = await trained(backend, references)
        const expected = references.channelsLast(adam.logits_after).data
        const squares = expected.reduce((sum, value, i) => sum + (value - logitsAfter[i]!) ** 2, 0)
        return { difference: Math.sqrt(squares / expected.length), count: `${expected.length} logits` }
      },
    },
  ]
}

type NetworkEntry = NonNullable<References['index']['network']>
type LossEntry = NonNullable<References['index']['losses']>[number]
type UpdateEntry = NonNullable<References['index']['adam_updates']>[number]

function lossOptions(options: Readonly<Record<string, boolean | number>>): DiceCeOptions {
  return { ...publishedLoss, squaredPred: false, ...options } as DiceCeOptions
}

function batchOf(references: References, { input, label }: NetworkEntry): Batch {
  const image = references.channelsLast(input)
  return {
    image: image.data,
    label: Uint8Array.from(references.channelsLast(label).data),
    count: image.count,
    shape: image.shape,
    cases: [references.name],
  }
}

/** Golden values were made with squared probabilities and do not say so. */
function lossOf({ loss_options: options }: NetworkEntry): DiceCeOptions {
  return options ? lossOptions(options) : publishedLoss
}

/** An engine as users have it, on two threads, closed afterwards. */
export async function withEngine<T>(
  network: SegresnetOptions,
  weights: Tensors,
  work: (engine: EngineWithReport) => Promise<T>,
  training: Partial<Parameters<typeof engineOptions>[0]> = {},
): Promise<T> {
  const engine = await openEngine(engineOptions({ backend: 'native', network, ...training }))
  try {
    await engine.load(weights)
    return await work(engine)
  } finally {
    await engine.close()
  }
}

function trained(backend: TestedBackend, references: References) {
  return references.once(`trained ${backend}`, () => trainedOn(references, { backend }))
}

/** Forward, as many steps as the reference has, forward after the first and after all of them. */
export async function trainedOn(references: References, device: Partial<Parameters<typeof engineOptions>[0]>) {
  const { network: entry, adam } = references.index
  const before = await weightsOf(references.path(entry!.checkpoint))
  const network = networkOf(before, entry!.groups)
  const batch = batchOf(references, entry!)
  const training = { loss: lossOf(entry!), optimizer: { ...defaultAdam, learningRate: adam?.lr ?? 1e-3 } }
  return withEngine(
    network,
    before,
    async engine => {
      const infer = (): Promise<Float32Array> => engine.infer(batch.image, batch.count, batch.shape)
      const logits = await infer()
      const losses: number[] = []
      let logitsAfterOne = logits
      for (const _ of adam?.loss_before_each_step ?? []) {
        losses.push((await engine.step(batch)).loss)
        if (losses.length === 1) logitsAfterOne = await infer()
      }
      return { before, logits, losses, logitsAfterOne, after: await engine.save(), logitsAfter: await infer() }
    },
    { ...training, ...device },
  )
}

/** The engine keeps gradients to itself: they come from the tape below it, on the same kernels. */
function gradientsOf(backend: TestedBackend, references: References) {
  return references.once(`gradients ${backend}`, async () => {
    const entry = references.index.network!
    const weights = await weightsOf(references.path(entry.checkpoint))
    const options = networkOf(weights, entry.groups)
    const { image, label, count, shape } = batchOf(references, entry)
    const [x, y, z] = shape
    let found: Awaited<ReturnType<typeof lossAndGradients>>
    await withBackend(backend, async () => {
      const parameters = variablesOf(options, weights)
      found = await lossAndGradients(options, parameters, image, label, [count, z, y, x], lossOf(entry))
      tf.dispose([...parameters.values()])
    })
    return { ...found!, options }
  })
}

async function lossAlone(
  backend: TestedBackend,
  references: References,
  { options, logits: file, label }: LossEntry,
): Promise<{ loss: number; gradient: Float32Array }> {
  const { count, shape, channels, data } = references.channelsLast(file)
  const [x, y, z] = shape
  let result: { loss: number; gradient: Float32Array }
  await withBackend(backend, () => {
    const logits = tf.tensor(data, [count, z, y, x, channels]) as Tensor5D
    const labels = tf.tensor(
      Int32Array.from(references.channelsLast(label).data),
      [count, z, y, x],
      'int32',
    ) as Tensor4D
    const parts = diceCrossEntropyParts(logits, labels, lossOptions(options))
    result = { loss: parts.loss.dataSync()[0]!, gradient: parts.dlogits.dataSync<'float32'>().slice() }
    tf.dispose([logits, labels, { ...parts }])
  })
  return result!
}

async function updateDifference(backend: TestedBackend, references: References, entry: UpdateEntry): Promise<number> {
  let difference = Infinity
  await withBackend(backend, () => {
    const variable = (stored: UpdateEntry['parameter']) =>
      tf.tidy(() => tf.variable(tf.tensor(references.numbers(stored))))
    const slot = {
      parameter: variable(entry.parameter),
      expAvg: variable(entry.exp_avg),
      expAvgSq: variable(entry.exp_avg_sq),
    }
    const gradient = tf.tensor(references.numbers(entry.gradient))
    ops.adamUpdate(slot, gradient, entry.options, entry.step)
    difference = largest([
      relativeOrAbsolute(slot.parameter.dataSync<'float32'>(), references.numbers(entry.parameter_after)),
      relativeOrAbsolute(slot.expAvg.dataSync<'float32'>(), references.numbers(entry.exp_avg_after)),
      relativeOrAbsolute(slot.expAvgSq.dataSync<'float32'>(), references.numbers(entry.exp_avg_sq_after)),
    ])
    tf.dispose([slot.parameter, slot.expAvg, slot.expAvgSq, gradient])
  })
  return difference
}

function relativeOrAbsolute(found: Float32Array, expected: Float32Array): number {
  return largest(Array.from(expected, (value, i) => Math.abs(found[i]! - value) / Math.max(1, Math.abs(value))))
}

/** after - before, all parameters as one vector, in the order of the network. */
function displacement(before: Tensors, after: Tensors): Float64Array {
  const specs = segresnetParameters(networkOf(before))
  const moved = specs.flatMap(({ name }) => {
    const [from, to] = [before.get(name)!.data, after.get(name)!.data]
    return Array.from(to, (value, i) => value - from[i]!)
  })
  return Float64Array.from(moved)
}
