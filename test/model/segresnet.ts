import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import type { Tensor5D } from '@tensorflow/tfjs'
import t from 'tap'
import * as ops from '../../engine/ops/index.ts'
import { goldenInputs } from '../../fixtures/make-golden.ts'
import { sizeOf } from '../../model/parameters.ts'
import {
  checkSegresnet,
  checkSpatialShape,
  publishedSegresnet,
  segresnet,
  segresnetParameters,
  type SegresnetOptions,
} from '../../model/segresnet.ts'
import { skipped, testedBackends, withBackend } from '../support/backends.ts'
import { inTorchOrder, lossAndGradients, variablesOf } from '../support/network.ts'
import { maxDifference, norm } from '../support/numbers.ts'
import { defaultAdam, publishedLoss } from '../support/options.ts'
import { projectRoot } from '../support/shared.ts'

interface Golden {
  readonly loss: number
  readonly logits: readonly number[]
  readonly gradients: Readonly<Record<string, { l2: number; first: readonly number[] }>>
  readonly adam: { readonly learningRate: number; readonly lossBeforeEachStep: readonly number[] }
}

const golden = JSON.parse(readFileSync(join(projectRoot, 'fixtures', 'golden', 'network.json'), 'utf8')) as Golden

const count = (initFilters: number): number =>
  segresnetParameters({ ...publishedSegresnet, initFilters }).reduce((sum, { shape }) => sum + sizeOf(shape), 0)
const check = (change: Partial<SegresnetOptions>) => () => checkSegresnet({ ...publishedSegresnet, ...change })

t.test('the published network has the published number of parameters', t => {
  t.equal(count(8), 1_176_186)
  t.equal(count(16), 4_700_914)
  t.equal(count(32), 18_796_002)
  t.end()
})

t.test("parameters have PyTorch's names, shapes and order", t => {
  const specs = segresnetParameters(publishedSegresnet)
  t.equal(specs.length, 83)
  const at = (i: number): [string, string] => [specs[i]!.name, specs[i]!.shape.join(' ')]
  t.same(at(0), ['convInit.conv.weight', '8 1 3 3 3'])
  t.same(at(1), ['down_layers.0.1.norm1.weight', '8'])
  t.same(at(6), ['down_layers.0.1.conv2.conv.weight', '8 8 3 3 3'])
  t.same(at(7), ['down_layers.1.0.conv.weight', '16 8 3 3 3'])
  const up = specs.findIndex(({ name }) => name === 'up_layers.0.0.norm1.weight')
  t.same(at(up), ['up_layers.0.0.norm1.weight', '32'])
  t.same(at(76), ['up_samples.0.0.conv.weight', '32 64 1 1 1'])
  t.same(at(78), ['up_samples.2.0.conv.weight', '8 16 1 1 1'])
  t.same(at(79), ['conv_final.0.weight', '8'])
  t.same(at(81), ['conv_final.2.conv.weight', '2 8 1 1 1'])
  t.same(at(82), ['conv_final.2.conv.bias', '2'])
  t.equal(new Set(specs.map(({ name }) => name)).size, 83)
  t.end()
})

t.test('a network that cannot be is refused with the level and the cure', t => {
  t.throws(check({ initFilters: 12 }), { code: 'ERR_DEFINITION', facts: { level: 0, channels: 12, groups: 8 } })
  t.throws(check({ blocksUp: [1, 1] }), { code: 'ERR_DEFINITION', message: /3 entries.*found 2/ })
  t.doesNotThrow(check({ initFilters: 12, groups: 4 }))
  t.doesNotThrow(check({ blocksDown: [2], blocksUp: [] }))
  t.end()
})

t.test('a patch that does not halve evenly is refused with one that does', t => {
  t.throws(() => checkSpatialShape(publishedSegresnet, [224, 220, 32]), {
    code: 'ERR_DEFINITION',
    message: /224 x 220 x 32.*divisible by 8.*224 x 224 x 32/,
  })
  t.doesNotThrow(() => checkSpatialShape(publishedSegresnet, [8, 16, 8]))
  t.doesNotThrow(() => checkSpatialShape({ ...publishedSegresnet, blocksDown: [1], blocksUp: [] }, [7, 3, 1]))
  t.end()
})

for (const backend of [...testedBackends, 'webgpu'] as const) {
  const { network, weights, image, label, count: n, shape } = goldenInputs()
  const extents: [number, number, number, number] = [n, shape[2], shape[1], shape[0]]

  t.test(`${backend}: logits, loss and gradients are MONAI's`, { skip: skipped(backend) }, t =>
    withBackend(backend, async () => {
      const parameters = variablesOf(network, weights)
      const logits = tf.tidy(() => segresnet(ops, parameters, tf.tensor(image, [...extents, 1]) as Tensor5D, network))
      const difference = maxDifference(await logits.data(), golden.logits)
      t.ok(difference < 5e-6, `logits differ by ${difference}`)

      const { loss, gradients } = await lossAndGradients(network, parameters, image, label, extents, publishedLoss)
      t.ok(Math.abs(loss - golden.loss) < 1e-6, `loss ${loss}, expected ${golden.loss}`)
      for (const [name, gradient] of gradients) {
        const { l2, first } = golden.gradients[name]!
        t.ok(Math.abs(norm(gradient) / l2 - 1) < 1e-5, `${name}: norm ${norm(gradient)}, expected ${l2}`)
        const start = inTorchOrder(network, name, gradient).subarray(0, first.length)
        t.ok(maxDifference(start, first) < 1e-5 * l2, `${name}: first values ${start}, expected ${first}`)
      }
      t.equal(gradients.size, Object.keys(golden.gradients).length)
      tf.dispose([logits, ...parameters.values()])
    }),
  )

  t.test(`${backend}: five steps of Adam are PyTorch's`, { skip: skipped(backend) }, t =>
    withBackend(backend, async () => {
      const slots = [...variablesOf(network, weights)].map(([name, parameter]) => ({
        name,
        parameter,
        expAvg: tf.variable(tf.zerosLike(parameter)),
        expAvgSq: tf.variable(tf.zerosLike(parameter)),
      }))
      const parameters = new Map(slots.map(({ name, parameter }) => [name, parameter]))
      const options = { ...defaultAdam, learningRate: golden.adam.learningRate }
      for (const [i, expected] of golden.adam.lossBeforeEachStep.entries()) {
        const { loss, gradients } = await lossAndGradients(network, parameters, image, label, extents, publishedLoss)
        // Adam's first steps follow signs, so that the rounding of tiny gradients grows from step to step.
        t.ok(Math.abs(loss - expected) < 2e-5, `step ${i + 1}: loss ${loss}, expected ${expected}`)
        for (const slot of slots) {
          const gradient = tf.tensor(gradients.get(slot.name)!, slot.parameter.shape)
          ops.adamUpdate(slot, gradient, options, i + 1)
          gradient.dispose()
        }
      }
      for (const { parameter, expAvg, expAvgSq } of slots) tf.dispose([parameter, expAvg, expAvgSq])
    }),
  )
}

t.test('dropout scales or drops whole channels, by seed and step, in training only', t =>
  withBackend('cpu', () => {
    const network = { ...publishedSegresnet, blocksDown: [1], blocksUp: [], dropout: 0.5 }
    const seen: number[][][] = []
    const spied: typeof ops = {
      ...ops,
      scaleChannels: (x, factors) => {
        seen.push(factors.map(row => [...row]))
        return ops.scaleChannels(x, factors)
      },
    }
    const { weights } = goldenInputs()
    const parameters = variablesOf(network, weights)
    const x = tf.ones([2, 2, 2, 2, 1]) as Tensor5D
    const run = (seed: number, step: number, firstSample = 0): Float32Array =>
      tf.tidy(() => segresnet(spied, parameters, x, network, { seed, step, firstSample }).dataSync<'float32'>())
    t.same(run(1, 0), run(1, 0))
    t.notSame(run(1, 1), run(1, 0))
    t.ok(seen[0]!.flat().every(factor => factor === 0 || factor === 2))
    t.ok(seen[0]!.flat().includes(0) && seen[0]!.flat().includes(2))
    t.same(seen[0], seen[1])
    run(1, 0, 1)
    t.same(seen.at(-1)![0], seen[0]![1], 'the second sample draws the same when it comes first')
    const draws = seen.length
    const still = tf.tidy(() => segresnet(spied, parameters, x, network).dataSync())
    t.equal(seen.length, draws, 'nothing is drawn outside training')
    t.ok(still.every(Number.isFinite))
    tf.dispose([x, ...parameters.values()])
  }),
)
