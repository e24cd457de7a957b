import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initialWeights } from '../../../model/init.ts'
import { publishedSegresnet, segresnetParameters } from '../../../model/segresnet.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { writeTorch } from '../../../model/torch/write-torch.ts'
import type { Tensors } from '../../../pipeline/engine.ts'
import { defaultAdam } from '../../support/options.ts'

const specs = segresnetParameters({ ...publishedSegresnet, blocksDown: [1, 1], blocksUp: [1] })
const weights = initialWeights(specs, 3)

/** Weights with a state of Adam's after 7 steps. */
function trained(): Tensors {
  const moments = [...weights].flatMap(([name, { shape, data }]) => [
    [`optimizer.exp_avg.${name}`, { shape, data: data.map(value => value / 3) }] as const,
    [`optimizer.exp_avg_sq.${name}`, { shape, data: data.map(value => value * value) }] as const,
  ])
  return new Map([...weights, ...moments, ['optimizer.step', { shape: [], data: Float32Array.of(7) }]])
}

t.test('what is written is read back bit for bit: weights, the state of Adam, train_conf', async t => {
  const path = join(t.testdir(), 'all.pt')
  const tensors = trained()
  const trainConf = { train: { lr: 0.25, roi: [224, 224, 32], big: 2 ** 40, text: 'ä', none: null, yes: true } }
  const optimizer = { ...defaultAdam, learningRate: 1 }
  await writeTorch(path, { tensors, optimizer, trainConf })
  const found = await readTorch(path)
  t.same([...found.tensors.keys()].toSorted(), [...tensors.keys()].toSorted())
  for (const [name, { shape, data }] of tensors) {
    const other = found.tensors.get(name)!
    t.same(other.shape, shape, name)
    t.ok(Buffer.from(other.data.buffer).equals(Buffer.from(data.buffer)), `${name}: the same bits`)
  }
  t.same(found.trainConf, trainConf)
  t.same(found.optimizer, optimizer)
})

t.test('bare, it is a state_dict and nothing else', async t => {
  const path = join(t.testdir(), 'bare.pt')
  await writeTorch(path, { tensors: trained(), optimizer: defaultAdam, trainConf: {}, bare: true })
  const found = await readTorch(path)
  t.same(
    [...found.tensors.keys()],
    specs.map(({ name }) => name),
    'in the order of the parameters',
  )
  t.equal(found.trainConf, undefined)
})

t.test('the same content gives the same bytes, every storage at a multiple of 64', async t => {
  const folder = t.testdir()
  for (const name of ['a.pt', 'b.pt']) await writeTorch(join(folder, name), { tensors: weights })
  const [a, b] = ['a.pt', 'b.pt'].map(name => readFileSync(join(folder, name))) as [Buffer, Buffer]
  t.ok(a.equals(b))
  const first = weights.get('convInit.conv.weight')!.data
  const at = a.indexOf(Buffer.from(first.buffer))
  t.ok(at > 0)
  t.equal(at % 64, 0)
})
