import { join } from 'node:path'
import t from 'tap'
import { Call, Name, pickle, Tuple, type Pickled } from '../../../model/torch/pickle-writer.ts'
import { readTorch } from '../../../model/torch/state-dict.ts'
import { dict, floats, legacyFile, rawPickle, tensor, zipFile } from '../../support/torch-files.ts'

const x = tensor({ count: 6, shape: [2, 3], strides: [3, 1] })
const storages = { '0': floats(1, 2, 3, 4, 5, 6) }

t.test('weights under a name of the user, as MONAI and Lightning save them', async t => {
  const path = join(t.testdir(), 'dress.pt')
  const found = async (content: Pickled): Promise<[string[], string]> => {
    const { tensors, notes } = await readTorch(zipFile(path, pickle(content), storages))
    return [[...tensors.keys()], notes.join('; ')]
  }
  const weights = dict(['a.w', x], ['b.w', x])
  t.match(await found(dict(['net', weights], ['trainer', dict(['iteration', 3])])), [['a.w', 'b.w'], /under "net"/])
  t.match(await found(dict(['network', weights], ['optimizer', dict(['state', dict()])])), [
    ['a.w', 'b.w'],
    /"network"/,
  ])
  const lightning = dict(['_model.a.w', x], ['_model.b.w', x])
  t.match(await found(dict(['state_dict', lightning])), [['a.w', 'b.w'], /prefix "_model\." taken off/])
  const averaged = dict(['n_averaged', x], ['module.a.w', x])
  t.match(await found(averaged), [['a.w'], /prefix "module\." taken off/], 'AveragedModel')
  await t.rejects(found(dict(['generator', weights], ['critic', weights])), {
    code: 'ERR_WEIGHTS',
    message: /generator \(a dict\), critic \(a dict\); save the weights alone/,
  })
})

t.test('counters and sets of schedules come along with the weights', async t => {
  const path = join(t.testdir(), 'schedule.pt')
  const counter = new Call(new Name('collections', 'Counter'), new Tuple(dict([3, 1], [5, 2])))
  const set = new Call(new Name('__builtin__', 'set'), new Tuple([1, 2]))
  const content = dict(['model', dict(['w', x])], ['train_conf', dict(['milestones', counter], ['seen', set])])
  const { trainConf } = await readTorch(zipFile(path, pickle(content), storages))
  t.same(trainConf, { milestones: { 3: 1, 5: 2 }, seen: [1, 2] })
})

t.test('the legacy layout may be of pickle protocol 4, whose pickles begin with a frame', async t => {
  const path = join(t.testdir(), 'framed.pt')
  legacyFile(path, pickle(dict(['w', x])), { '0': { count: 6, bytes: storages['0'] } }, { protocol: 4 })
  t.same([...(await readTorch(path)).tensors.get('w')!.data], [1, 2, 3, 4, 5, 6])
})

t.test("another optimiser's state is not taken for Adam's", async t => {
  const path = join(t.testdir(), 'optimizer.pt')
  const noteOf = async (group: Pickled, key = 'optimizer'): Promise<string> => {
    const state = dict([0, dict(['step', 4], ['exp_avg', x], ['exp_avg_sq', x])])
    const optimizer = dict(['state', state], ['param_groups', [group]])
    const content = dict(['model', dict(['w', x])], [key, key === 'optimizer_states' ? [optimizer] : optimizer])
    return (await readTorch(zipFile(path, pickle(content), storages))).notes.slice(1).join('; ')
  }
  const adam: [Pickled, Pickled][] = [
    ['lr', 0.5],
    ['betas', new Tuple(0.9, 0.99)],
    ['eps', 1e-8],
    ['weight_decay', 0],
    ['amsgrad', false],
  ]
  t.equal(await noteOf(dict(...adam)), "Adam's state after 4 steps at learning rate 0.5")
  t.match(await noteOf(dict(...adam), 'opt'), /^Adam's state after 4 steps/)
  t.match(await noteOf(dict(...adam), 'optimizer_states'), /^Adam's state after 4 steps/)
  t.match(await noteOf(dict(...adam, ['weight_decay', 0.01])), /weight decay 0\.01 is Adam's/)
  t.match(await noteOf(dict(...adam, ['lr', x])), /its options are not all numbers and were left out/)
  t.match(await noteOf(dict(...adam.slice(0, 4), ['momentum_decay', 4e-3])), /left out: its options are not Adam's/)
  for (const name of ['amsgrad', 'maximize', 'decoupled_weight_decay'])
    t.match(await noteOf(dict(...adam, [name, true])), new RegExp(`left out: ${name} is not known here`))
})

t.test('a long list of rounded tensors is a number', async t => {
  const path = join(t.testdir(), 'double.pt')
  const names = ['a', 'b', 'c', 'd']
  const double = tensor({ type: 'DoubleStorage', count: 3, shape: [3], strides: [1] })
  const notesOf = async (some: string[]): Promise<string> => {
    const content = dict(...some.map((name): [Pickled, Pickled] => [name, double]))
    return (await readTorch(zipFile(path, pickle(content), storages))).notes.join('; ')
  }
  t.match(await notesOf(names.slice(1)), /rounded to float32: b, c, d$/)
  t.match(await notesOf(names), /rounded to float32: 4 tensors$/)
})

t.test('a set made of what is no list is empty', async t => {
  const path = join(t.testdir(), 'set.pt')
  const data = rawPickle('}(X\x01\0\0\0w', pickle(x).subarray(2, -1), 'X\x01\0\0\0sc__builtin__\nset\nN\x85Ru.')
  t.ok((await readTorch(zipFile(path, data, storages))).tensors.has('w'))
})
