import t from 'tap'
import { benches, checkSame } from '../../../bench/peers/bench.ts'

t.test('peers say whom they stand for, in trials and in comparisons', async t => {
  const comparisons = benches.flatMap(({ comparisons = [] }) => comparisons)
  t.same(
    comparisons.map(({ name, against }) => `${name} ${against}`),
    [
      'train-step/f8/224x224x32/float32 monai-default',
      'train-step/f8/224x224x32/float32 pytorch-best',
      'train-step/f8/224x224x32/bfloat16 pytorch-best',
      'window/f8/224x224x32/float32 monai-default',
      'window/f8/224x224x32/float32 pytorch-best',
      'window/f8/224x224x32/float32 onnxruntime',
      'window/f8/224x224x32/bfloat16 pytorch-best',
    ],
  )
  for (const { trials, comparisons = [], interleaved } of benches) {
    t.ok(interleaved, 'in turns')
    const names = trials.map(({ name }) => name)
    for (const { of, over, against } of comparisons) {
      t.equal(trials.find(({ name }) => name === over)?.against, undefined, 'over ours')
      for (const name of of) t.equal(trials.find(trial => trial.name === name)?.against, against)
    }
    t.equal(new Set(names).size, names.length)
  }
})

t.test('a peer that computes something else is not timed', async t => {
  t.doesNotThrow(() => checkSame([1, -10.009], [1, -10], 1e-3))
  t.throws(() => checkSame([1, -10.011], [1, -10], 1e-3), { message: /not ours: off by 0\.01/ })
  t.throws(() => checkSame([1, NaN], [1, -10], 1e-3), { message: /not ours/ })
  t.throws(() => checkSame([1], [1, -10], 1e-3), { message: /expected 2 numbers/ })
})
