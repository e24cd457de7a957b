import t from 'tap'
import { learningRateAt, type Schedule } from '../../model/schedule.ts'

const rates = (schedule: Schedule, epochs: readonly number[]): number[] =>
  epochs.map(epoch => Number(learningRateAt(schedule, 0.1, epoch).toPrecision(12)))

t.test('constant', t => {
  t.same(rates({ kind: 'constant', warmup: 0 }, [0, 1, 1000]), [0.1, 0.1, 0.1])
  t.end()
})

t.test('step drops by gamma every stepSize epochs', t => {
  t.same(rates({ kind: 'step', stepSize: 3, gamma: 0.5, warmup: 0 }, [0, 2, 3, 5, 6]), [0.1, 0.1, 0.05, 0.05, 0.025])
  t.end()
})

t.test('cosine falls to its minimum and stays there', t => {
  t.same(rates({ kind: 'cosine', epochs: 4, min: 0.02, warmup: 0 }, [0, 2, 4, 5]), [0.1, 0.06, 0.02, 0.02])
  t.end()
})

t.test('polynomial falls to zero and stays there', t => {
  t.same(rates({ kind: 'polynomial', epochs: 4, power: 2, warmup: 0 }, [0, 1, 2, 4, 9]), [0.1, 0.05625, 0.025, 0, 0])
  t.end()
})

t.test('warm-up rises linearly, then the schedule begins at its own epoch 0', t => {
  t.same(rates({ kind: 'step', stepSize: 1, gamma: 0.5, warmup: 3 }, [0, 1, 2, 3, 4]), [0.025, 0.05, 0.075, 0.1, 0.05])
  t.end()
})
