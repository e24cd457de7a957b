import t from 'tap'
import { startContender } from '../../../bench/network/contender.ts'
import { ours } from '../../../bench/network/network-trial.ts'
import { nameOf, type Work } from '../../../bench/network/work.ts'
import { skip } from '../../support/kernels.ts'

const work: Work = {
  task: 'train-step',
  initFilters: 8,
  shape: [16, 16, 8],
  batch: 2,
  precision: 'float32',
  threads: 1,
}

t.test('names say what, width, size, batch and precision', async t => {
  t.equal(nameOf(work), 'train-step/f8/16x16x8/batch-2/float32')
  t.equal(nameOf({ ...work, task: 'window', batch: 1, precision: 'bfloat16' }), 'window/f8/16x16x8/bfloat16')
})

t.test('our engine takes part as the others do: steps, windows, a report', { skip }, async t => {
  for (const task of ['train-step', 'window'] as const) {
    const { command, work: wanted } = ours({ ...work, task })
    const contender = startContender(command)
    await contender.prepare(wanted)
    const [first, second] = [await contender.repeat(), await contender.repeat()]
    t.ok(first.seconds > 0 && first.outcome.every(Number.isFinite))
    t.equal(first.outcome.length, task === 'window' ? 128 : 1)
    if (task === 'window') t.same(second.outcome, first.outcome)
    else t.not(second.outcome[0], first.outcome[0], 'the weights have changed')
    const { peakBytes, facts } = await contender.report()
    t.ok(peakBytes > 1e7)
    t.notOk('fallbacks' in facts, 'no kernel is left to slow JavaScript')
    await contender.close()
  }
})
