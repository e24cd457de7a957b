import { join } from 'node:path'
import t from 'tap'
import { pickle, type Pickled } from '../../../model/torch/pickle-writer.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { dict, legacyFile, tensor, zipFile } from '../../support/torch-files.ts'

const count = 1 << 20
const large = new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer)
/** Enough that reading a megabyte for each of them would take minutes. */
const names = Array.from({ length: 8000 }, (_, i) => `w${i}`)

t.test('many small tensors spread over one large storage cost what they hold, not what lies between', async t => {
  const content = dict(
    ...names.map((name, i): [Pickled, Pickled] => [
      name,
      tensor({ count, offset: i, shape: [2], strides: [count - names.length] }),
    ]),
  )
  const { tensors } = await readTorch(zipFile(join(t.testdir(), 'spread.pt'), pickle(content), { '0': large }))
  t.equal(tensors.size, names.length)
  t.same([...tensors.get('w7')!.data], [7, 7 + count - names.length])
})

t.test('many views of one storage of the legacy layout are read at once', async t => {
  const content = dict(
    ...names.map((name, i): [Pickled, Pickled] => [
      name,
      tensor({ count, offset: 2, shape: [1], strides: [1], view: [name, i, count - i] }),
    ]),
  )
  const path = legacyFile(join(t.testdir(), 'views.pt'), pickle(content), { '0': { count, bytes: large } })
  const { tensors } = await readTorch(path)
  t.same([...tensors.get('w9')!.data], [11])
})

t.test('the steps of an optimiser may lie in one storage, which is then read once', async t => {
  const scalar = (offset: number): Pickled => tensor({ count, offset, shape: [], strides: [] })
  const weight = tensor({ count, shape: [1], strides: [1] })
  const some = names.slice(0, 5000)
  const state = some.map((_, i): [Pickled, Pickled] => [
    i,
    dict(['step', scalar(3)], ['exp_avg', weight], ['exp_avg_sq', weight]),
  ])
  const content = dict(
    ['model', dict(...some.map((name): [Pickled, Pickled] => [name, weight]))],
    ['optimizer', dict(['state', dict(...state)], ['param_groups', [dict(['amsgrad', false])]])],
  )
  const { notes } = await readTorch(zipFile(join(t.testdir(), 'steps.pt'), pickle(content), { '0': large }))
  t.match(notes.join('\n'), /Adam's state after 3 steps/)
})
